//! Symbols: names and their indices. The words with a meaning of their own in the syntax come first,
//! so that the compiler can tell them by a constant.

use std::collections::HashMap;
use std::rc::Rc;

macro_rules! keywords {
    ($($name:ident $text:literal,)*) => {
        /// The indices of words that the compiler knows.
        pub mod keyword {
            #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "only used to number the constants below")]
            #[repr(u32)]
            enum Index { $($name,)* }
            $(#[doc = concat!("The symbol `", $text, "`.")] pub const $name: u32 = Index::$name as u32;)*
        }
        const KEYWORDS: &[&str] = &[$($text,)*];
    };
}

keywords! {
    QUOTE "quote",
    QUASIQUOTE "quasiquote",
    UNQUOTE "unquote",
    UNQUOTE_SPLICING "unquote-splicing",
    LAMBDA "lambda",
    DEFINE "define",
    SET "set!",
    IF "if",
    COND "cond",
    CASE "case",
    AND "and",
    OR "or",
    WHEN "when",
    UNLESS "unless",
    BEGIN "begin",
    LET "let",
    LET_STAR "let*",
    LETREC "letrec",
    LETREC_STAR "letrec*",
    DO "do",
    ELSE "else",
    ARROW "=>",
}

/// All names that a machine has seen.
pub struct Symbols {
    names: Vec<Rc<str>>,
    indices: HashMap<Rc<str>, u32>,
}

impl Default for Symbols {
    fn default() -> Self {
        let mut symbols = Symbols { names: Vec::new(), indices: HashMap::new() };
        for keyword in KEYWORDS {
            symbols.intern(keyword);
        }
        symbols
    }
}

impl Symbols {
    /// The index of `name`, which is the same for the same name.
    ///
    /// # Panics
    ///
    /// When there are more than 2^32 names, for which no memory of 4 GiB has room.
    pub fn intern(&mut self, name: &str) -> u32 {
        if let Some(&index) = self.indices.get(name) {
            return index;
        }
        let index = u32::try_from(self.names.len()).expect("fewer names than bytes of memory");
        let name: Rc<str> = name.into();
        self.names.push(name.clone());
        self.indices.insert(name, index);
        index
    }

    /// The name with this index; an index that no name has gives a question mark.
    pub fn name(&self, index: u32) -> &str {
        self.names.get(index as usize).map_or("?", |name| name)
    }

    /// How many names there are.
    pub fn count(&self) -> usize {
        self.names.len()
    }
}
