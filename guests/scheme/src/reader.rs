//! From text to data. The reader keeps its own stack, so no nesting of parentheses can exhaust the
//! host's.

use crate::error::Error;
use crate::heap::Heap;
use crate::symbols::{Symbols, keyword};
use crate::value::Value;

/// How deep lists may be nested. The compiler has a lower limit for code; this one is for data.
const MAX_DEPTH: usize = 10_000;

/// What an open parenthesis or a quote mark is waiting for.
enum Open {
    /// A list or, after `#(`, a vector; `tail` is what follows the dot.
    List { items: Vec<Value>, tail: Option<Value>, dotted: bool, vector: bool, line: usize },
    /// The datum that `'`, `` ` ``, `,` or `,@` applies to.
    Quote(u32),
}

/// Reads data one after the other from a text.
pub struct Reader<'a> {
    text: &'a str,
    position: usize,
    line: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `text`.
    pub fn new(text: &'a str) -> Self {
        Reader { text, position: 0, line: 1 }
    }

    fn error(&self, message: &str) -> Error {
        Error::new(format!("line {}: {message}", self.line))
    }

    fn peek(&self) -> Option<char> {
        self.text[self.position..].chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.position += next.len_utf8();
        if next == '\n' {
            self.line += 1;
        }
        Some(next)
    }

    fn skip_blank(&mut self) -> Result<(), Error> {
        while let Some(next) = self.peek() {
            if next.is_whitespace() {
                self.bump();
            } else if next == ';' {
                while self.peek().is_some_and(|c| c != '\n') {
                    self.bump();
                }
            } else if self.text[self.position..].starts_with("#|") {
                let end = self.text[self.position..].find("|#").ok_or_else(|| self.error("a #| comment has no end"))?;
                let stop = self.position + end + 2;
                while self.position < stop {
                    self.bump();
                }
            } else {
                break;
            }
        }
        Ok(())
    }

    /// The next datum, or none at the end of the text.
    ///
    /// # Errors
    ///
    /// What is wrong with the text, with the line's number.
    pub fn next(&mut self, heap: &mut Heap, symbols: &mut Symbols) -> Result<Option<Value>, Error> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            self.skip_blank()?;
            let Some(next) = self.peek() else {
                return match open
                    .iter()
                    .rev()
                    .find_map(|o| if let Open::List { line, .. } = o { Some(*line) } else { None })
                {
                    Some(line) => Err(self.error(&format!("the parenthesis of line {line} is never closed"))),
                    None if open.is_empty() => Ok(None),
                    None => Err(self.error("nothing follows the last quote mark")),
                };
            };
            if open.len() >= MAX_DEPTH {
                return Err(self.error("data is nested too deeply"));
            }
            let mut datum = match next {
                '(' | '[' => {
                    self.bump();
                    open.push(self.list(false));
                    continue;
                }
                ')' | ']' => {
                    self.bump();
                    self.close(open.pop(), heap)?
                }
                '\'' | '`' | ',' => {
                    self.bump();
                    open.push(Open::Quote(match next {
                        '\'' => keyword::QUOTE,
                        '`' => keyword::QUASIQUOTE,
                        _ if self.peek() == Some('@') => {
                            self.bump();
                            keyword::UNQUOTE_SPLICING
                        }
                        _ => keyword::UNQUOTE,
                    }));
                    continue;
                }
                '#' if self.text[self.position..].starts_with("#(") => {
                    self.bump();
                    self.bump();
                    open.push(self.list(true));
                    continue;
                }
                '"' => self.string(heap)?,
                _ => match self.atom(symbols)? {
                    Some(value) => value,
                    None => match open.last_mut() {
                        Some(Open::List { items, dotted: dotted @ false, vector: false, .. }) if !items.is_empty() => {
                            *dotted = true;
                            continue;
                        }
                        _ => return Err(self.error("a dot is out of place")),
                    },
                },
            };
            // A finished datum completes any quote marks before it, then joins the list around it.
            loop {
                match open.pop() {
                    None => return Ok(Some(datum)),
                    Some(Open::Quote(mark)) => {
                        let rest = heap.cons(datum, Value::NULL);
                        datum = heap.cons(Value::symbol(mark), rest);
                    }
                    Some(Open::List { mut items, mut tail, dotted, vector, line }) => {
                        if !dotted {
                            items.push(datum);
                        } else if tail.replace(datum).is_some() {
                            return Err(self.error("more than one datum follows a dot"));
                        }
                        open.push(Open::List { items, tail, dotted, vector, line });
                        break;
                    }
                }
            }
        }
    }

    fn list(&self, vector: bool) -> Open {
        Open::List { items: Vec::new(), tail: None, dotted: false, vector, line: self.line }
    }

    fn close(&self, open: Option<Open>, heap: &mut Heap) -> Result<Value, Error> {
        match open {
            Some(Open::List { items, vector: true, .. }) => {
                let vector = heap.vector(items.len(), Value::ZERO);
                if let Some(handle) = crate::object::Vector::of(vector) {
                    for (index, item) in items.into_iter().enumerate() {
                        handle.set(index, item);
                    }
                }
                Ok(vector)
            }
            Some(Open::List { dotted: true, tail: None, .. }) => Err(self.error("nothing follows a dot")),
            Some(Open::List { items, tail, .. }) => {
                let end = tail.unwrap_or(Value::NULL);
                Ok(items.into_iter().rev().fold(end, |list, item| heap.cons(item, list)))
            }
            Some(Open::Quote(_)) => Err(self.error("nothing follows a quote mark")),
            None => Err(self.error("a closing parenthesis has no opening one")),
        }
    }

    fn string(&mut self, heap: &mut Heap) -> Result<Value, Error> {
        self.bump();
        let mut text = String::new();
        loop {
            let next = self.bump().ok_or_else(|| self.error("a string has no end"))?;
            text.push(match next {
                '"' => return Ok(heap.string(&text)),
                '\\' => match self.bump() {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some('r') => '\r',
                    Some('0') => '\0',
                    Some(plain @ ('\\' | '"')) => plain,
                    _ => return Err(self.error("unknown escape in a string")),
                },
                plain => plain,
            });
        }
    }

    /// A number, symbol, boolean or character; none for a lone dot.
    fn atom(&mut self, symbols: &mut Symbols) -> Result<Option<Value>, Error> {
        let start = self.position;
        if self.text[start..].starts_with("#\\") {
            self.bump();
            self.bump();
            // The character itself may be a delimiter, as in `#\(`.
            self.bump();
        }
        while self.peek().is_some_and(|c| !c.is_whitespace() && !"()[]\"';`,".contains(c)) {
            self.bump();
        }
        let word = &self.text[start..self.position];
        if word == "." {
            return Ok(None);
        }
        if let Some(name) = word.strip_prefix("#\\") {
            return match character(name) {
                Some(character) => Ok(Some(Value::character(character))),
                None => Err(self.error(&format!("unknown character {word}"))),
            };
        }
        Ok(Some(match word {
            "#t" | "#true" => Value::TRUE,
            "#f" | "#false" => Value::FALSE,
            _ if word.starts_with('#') => return Err(self.error(&format!("unknown syntax {word}"))),
            _ => match integer(word, 10) {
                Some(Some(value)) => value,
                Some(None) => return Err(self.error(&format!("the integer {word} needs more than 63 bits"))),
                None if fraction(word) => return Err(self.error(&format!("{word}: only integers are supported"))),
                None => Value::symbol(symbols.intern(word)),
            },
        }))
    }
}

/// The integer that `word` says, `Some(None)` when it does not fit, none when it is not a number.
pub(crate) fn integer(word: &str, radix: u32) -> Option<Option<Value>> {
    let digits = word.strip_prefix(['+', '-']).unwrap_or(word);
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    Some(i64::from_str_radix(word, radix).ok().and_then(Value::integer))
}

/// Whether `word` is a number in other Schemes, which should not silently become a symbol here.
fn fraction(word: &str) -> bool {
    let digits = word.strip_prefix(['+', '-']).unwrap_or(word);
    digits.starts_with(|c: char| c.is_ascii_digit()) && word.parse::<f64>().is_ok()
}

fn character(name: &str) -> Option<char> {
    let mut characters = name.chars();
    match (characters.next(), characters.next()) {
        (Some(only), None) => Some(only),
        _ => match name {
            "space" => Some(' '),
            "newline" => Some('\n'),
            "tab" => Some('\t'),
            "return" => Some('\r'),
            "null" => Some('\0'),
            _ => None,
        },
    }
}
