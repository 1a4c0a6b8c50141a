//! Primitives with an instruction of their own.

/// Which primitive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inline {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `quotient`
    Quotient,
    /// `remainder`
    Remainder,
    /// `modulo`
    Modulo,
    /// `<`
    Less,
    /// `>`
    Greater,
    /// `<=`
    LessEqual,
    /// `>=`
    GreaterEqual,
    /// `=`
    NumEqual,
    /// `zero?`
    IsZero,
    /// `eq?`
    Eq,
    /// `not`
    Not,
    /// `cons`
    Cons,
    /// `car`
    Car,
    /// `cdr`
    Cdr,
    /// `null?`
    IsNull,
    /// `pair?`
    IsPair,
    /// `vector-ref`
    VectorRef,
    /// `vector-set!`
    VectorSet,
}

/// Names, numbers of arguments and instructions. `eqv?` is `eq?`, because all numbers are immediate.
pub const TABLE: &[(&str, usize, Inline)] = &[
    ("+", 2, Inline::Add),
    ("-", 2, Inline::Sub),
    ("*", 2, Inline::Mul),
    ("quotient", 2, Inline::Quotient),
    ("remainder", 2, Inline::Remainder),
    ("modulo", 2, Inline::Modulo),
    ("<", 2, Inline::Less),
    (">", 2, Inline::Greater),
    ("<=", 2, Inline::LessEqual),
    (">=", 2, Inline::GreaterEqual),
    ("=", 2, Inline::NumEqual),
    ("zero?", 1, Inline::IsZero),
    ("eq?", 2, Inline::Eq),
    ("eqv?", 2, Inline::Eq),
    ("not", 1, Inline::Not),
    ("cons", 2, Inline::Cons),
    ("car", 1, Inline::Car),
    ("cdr", 1, Inline::Cdr),
    ("null?", 1, Inline::IsNull),
    ("pair?", 1, Inline::IsPair),
    ("vector-ref", 2, Inline::VectorRef),
    ("vector-set!", 3, Inline::VectorSet),
];
