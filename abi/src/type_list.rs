//! [`TypeList`]: the parameters or the results of a function type.
//!
//! Whoever loads a module makes hundreds of them and compares each with one that is known, and nearly all are of a few types. So short ones are never allocated, and are
//! compared and hashed as one number.

use crate::types::{RefType, ValType};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

/// An immutable list of value types.
#[derive(Clone)]
pub struct TypeList {
    word: Word,
    types: Types,
}

/// The types of a short list: their codes, three bits each, the last one lowest, and their number above these. [`Word::LONG`] for any other.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Word(u64);

#[derive(Clone)]
enum Types {
    /// Those of a short list; the word tells how many they are.
    InPlace([ValType; SHORT]),
    /// Those of a list that is not short.
    Long(Box<[ValType]>),
}

/// The most types that a short list has.
const SHORT: usize = 19;

impl Word {
    const LONG: Self = Self(u64::MAX);

    /// Where the number of types begins.
    const LEN: usize = 3 * SHORT;

    fn new(types: &[ValType]) -> Self {
        if types.len() > SHORT {
            return Self::LONG;
        }
        let codes = types.iter().fold(0, |word, ty| word << 3 | u64::from(ty.code()));
        Self(codes | (types.len() as u64) << Self::LEN)
    }

    #[allow(clippy::cast_possible_truncation, reason = "what is left are seven bits")]
    fn len(self) -> usize {
        (self.0 >> Self::LEN) as usize
    }
}

impl TypeList {
    /// The list of what `types` has.
    pub fn new(types: &[ValType]) -> Self {
        types.iter().copied().collect()
    }

    /// Appends its form in a file: its word, and of a list that is not short the number of types as `u32` and their codes. `None` when there are more.
    pub(crate) fn write(&self, file: &mut Vec<u8>) -> Option<()> {
        file.extend_from_slice(&self.word.0.to_le_bytes());
        if self.word == Word::LONG {
            file.extend_from_slice(&u32::try_from(self.len()).ok()?.to_le_bytes());
            file.extend(self.iter().map(|ty| ty.code()));
        }
        Some(())
    }

    /// Reads a list from the beginning of `file`; `None` when there is none.
    #[inline]
    pub(crate) fn read(file: &mut &[u8]) -> Option<Self> {
        let (&word, mut rest) = file.split_first_chunk()?;
        let word = Word(u64::from_le_bytes(word));
        let list = if word == Word::LONG { Self::read_long(&mut rest)? } else { Self::short(word)? };
        *file = rest;
        Some(list)
    }

    #[inline]
    fn short(word: Word) -> Option<Self> {
        // Most lists have nothing but integers of 32 bits, whose code is 0.
        let (mut types, mut codes) = ([ValType::I32; SHORT], word.0 & ((1 << Word::LEN) - 1));
        for place in types.get_mut(..word.len())?.iter_mut().rev() {
            if codes == 0 {
                break;
            }
            *place = ValType::from_code(codes & 7)?;
            codes >>= 3;
        }
        (codes == 0).then_some(Self { word, types: Types::InPlace(types) })
    }

    fn read_long(file: &mut &[u8]) -> Option<Self> {
        let (&len, rest) = file.split_first_chunk()?;
        let (codes, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(len)).ok()?)?;
        *file = rest;
        let types: Box<[_]> = codes.iter().map(|&code| ValType::from_code(code.into())).collect::<Option<_>>()?;
        (types.len() > SHORT).then_some(Self { word: Word::LONG, types: Types::Long(types) })
    }
}

impl Default for TypeList {
    fn default() -> Self {
        Self { word: Word::new(&[]), types: Types::InPlace([ValType::I32; SHORT]) }
    }
}

impl FromIterator<ValType> for TypeList {
    fn from_iter<I: IntoIterator<Item = ValType>>(list: I) -> Self {
        let types: Vec<ValType> = list.into_iter().collect();
        let word = Word::new(&types);
        let mut short = [ValType::I32; SHORT];
        match short.get_mut(..types.len()) {
            Some(place) => place.copy_from_slice(&types),
            None => return Self { word, types: Types::Long(types.into()) },
        }
        Self { word, types: Types::InPlace(short) }
    }
}

impl<const N: usize> From<[ValType; N]> for TypeList {
    fn from(types: [ValType; N]) -> Self {
        Self::new(&types)
    }
}

impl Deref for TypeList {
    type Target = [ValType];

    fn deref(&self) -> &[ValType] {
        match &self.types {
            Types::InPlace(types) => types.get(..self.word.len()).unwrap_or_default(),
            Types::Long(types) => types,
        }
    }
}

impl PartialEq for TypeList {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.word == other.word && (self.word != Word::LONG || **self == **other)
    }
}

impl Eq for TypeList {}

impl Hash for TypeList {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.word.0);
        if self.word == Word::LONG {
            self.chunks(SHORT).for_each(|types| state.write_u64(Word::new(types).0));
        }
    }
}

impl fmt::Debug for TypeList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl ValType {
    /// A number below 8.
    #[inline]
    fn code(self) -> u8 {
        match self {
            Self::I32 => 0,
            Self::I64 => 1,
            Self::F32 => 2,
            Self::F64 => 3,
            Self::V128 => 4,
            Self::Ref(RefType::Func) => 5,
            Self::Ref(RefType::Extern) => 6,
        }
    }

    /// The type with this number.
    #[inline]
    fn from_code(code: u64) -> Option<Self> {
        Some(match code {
            0 => Self::I32,
            1 => Self::I64,
            2 => Self::F32,
            3 => Self::F64,
            4 => Self::V128,
            5 => Self::Ref(RefType::Func),
            6 => Self::Ref(RefType::Extern),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{BuildHasher, RandomState};

    fn list(len: usize, first: u64) -> TypeList {
        (0..7).filter_map(|code| ValType::from_code((code + first) % 7)).cycle().take(len).collect()
    }

    #[test]
    fn lists_of_all_lengths_come_back() {
        let hasher = RandomState::new();
        let mut file = Vec::new();
        for len in 0..70 {
            let (types, other) = (list(len, 0), list(len, 1));
            assert_eq!(types.len(), len);
            assert_eq!(types == other, len == 0, "{len}");
            assert_eq!(hasher.hash_one(&types) == hasher.hash_one(&other), len == 0, "{len}");
            types.write(&mut file).expect("it is short enough");
        }
        let mut rest = &file[..];
        for len in 0..70 {
            let read = TypeList::read(&mut rest).expect("it was written");
            assert_eq!((read.len(), &read), (len, &list(len, 0)), "{len}");
            assert_eq!(hasher.hash_one(&read), hasher.hash_one(list(len, 0)), "{len}");
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn what_is_no_list_is_not_read() {
        let word = |len: u64, codes: u64| (len << Word::LEN | codes).to_le_bytes().to_vec();
        let long = |len: u32, code| [vec![0xff; 8], len.to_le_bytes().to_vec(), vec![code; 30]].concat();
        for bytes in
            [word(1, 7), word(1, 8), word(20, 0), word(0, 1), vec![0; 7], long(31, 0), long(30, 7), long(19, 0)]
        {
            assert_eq!(TypeList::read(&mut &bytes[..]), None, "{bytes:?}");
        }
        assert_eq!(TypeList::read(&mut &word(2, 0o31)[..]), Some([ValType::F64, ValType::I64].into()));
        assert_eq!(TypeList::read(&mut &long(30, 4)[..]).map(|types| types.len()), Some(30));
    }
}
