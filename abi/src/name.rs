//! [`Name`]: the name of an import or an export.
//!
//! An artefact holds the names of its module as one text, of which each of them is a part: loading allocates that text and nothing for a name.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// A name, which may be a part of a text that others share.
#[derive(Clone)]
pub struct Name {
    text: Arc<str>,
    start: u32,
    end: u32,
}

impl Name {
    /// The part of `text` at `range`; `None` when it has none there.
    pub fn part_of(text: &Arc<str>, range: Range<u32>) -> Option<Self> {
        text.get(range.start as usize..range.end as usize)?;
        Some(Self { text: Arc::clone(text), start: range.start, end: range.end })
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        self.text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

impl From<&str> for Name {
    /// # Panics
    /// When the name has 4 GiB, which no module does.
    fn from(name: &str) -> Self {
        let end = u32::try_from(name.len()).expect("modules have less than 4 GiB");
        Self { text: name.into(), start: 0, end }
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Name {}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
