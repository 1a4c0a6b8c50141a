//! [`Budget`]: `--max-memory`, shared by all memories and tables of the guest.

use std::fmt;

use anyhow::Result;
use wasmo::ResourceLimiter;

use crate::units::format_size;

/// Bytes that an element of a table takes.
const TABLE_ELEMENT: u64 = 32;

/// What memories and tables may take, and what they do.
pub(crate) struct Budget {
    limit: Option<u64>,
    used: u64,
    refused: Option<u64>,
}

impl Budget {
    /// Memories and tables may take `limit` bytes together; any number if there is none.
    pub(crate) fn new(limit: Option<u64>) -> Self {
        Self { limit, used: 0, refused: None }
    }

    /// Whether the guest was refused memory because of the limit.
    pub(crate) fn refused(&self) -> bool {
        self.refused.is_some()
    }

    fn take(&mut self, current: u64, desired: u64) -> bool {
        let wanted = self.used.saturating_add(desired.saturating_sub(current));
        if self.limit.is_some_and(|limit| wanted > limit) {
            self.refused = Some(wanted);
            return false;
        }
        self.used = wanted;
        true
    }
}

impl ResourceLimiter for Budget {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        // What the type forbids is not taken from the budget: the growth will fail.
        Ok(maximum.is_none_or(|maximum| desired <= maximum) && self.take(current as u64, desired as u64))
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        let bytes = |elements: usize| (elements as u64).saturating_mul(TABLE_ELEMENT);
        Ok(maximum.is_none_or(|maximum| desired <= maximum) && self.take(bytes(current), bytes(desired)))
    }
}

/// What was refused, for a message.
impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.limit, self.refused) {
            (Some(limit), Some(wanted)) => write!(
                f,
                "the guest wanted {} of memory and was refused, because --max-memory is {}",
                format_size(wanted),
                format_size(limit)
            ),
            _ => write!(f, "the guest uses {} of memory", format_size(self.used)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_share_the_limit() {
        let mut budget = Budget::new(Some(1 << 20));
        assert!(budget.memory_growing(0, 512 << 10, None).expect("no error"));
        assert!(budget.table_growing(0, 1 << 14, None).expect("no error"));
        assert!(!budget.refused());
        assert!(!budget.memory_growing(512 << 10, (512 << 10) + 65_536, None).expect("no error"));
        assert!(budget.refused());
        assert!(budget.to_string().contains("1 MiB"), "{budget}");
    }

    #[test]
    fn what_the_type_forbids_is_not_taken() {
        let mut budget = Budget::new(Some(1 << 20));
        assert!(!budget.memory_growing(0, 1 << 20, Some(65_536)).expect("no error"));
        assert!(!budget.refused());
        assert!(budget.memory_growing(0, 1 << 20, None).expect("no error"));
    }
}
