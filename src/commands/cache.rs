//! `wasmo cache`: what is in the cache of compiled modules, removing it, and ([`optimize`]) improving it.

#[cfg(feature = "compiler")]
pub(crate) mod optimize;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result};
use wasmo::cache::{EntryInfo, Pruned};
use wasmo::{Cache, CacheConfig};

use crate::args::{CacheArgs, CacheCommand};
use crate::output;
use crate::units::{format_age, format_size};

/// Shows the cache, or removes what is in it.
pub(crate) fn run(args: &CacheArgs) -> Result<ExitCode> {
    let config = CacheConfig::new();
    let text = match &args.command {
        // Where it is to be is worth knowing even if it cannot be used there.
        CacheCommand::Path => format!("{}\n", config.path()?.display()),
        CacheCommand::List => listed(&open(&config)?.list().context("cannot list the cache")?),
        CacheCommand::Clear => removed(open(&config)?.clear().context("cannot clear the cache")?),
        CacheCommand::Prune(prune) => {
            let pruned = open(&config)?.prune(prune.max_size, prune.older_than);
            removed(pruned.context("cannot prune the cache")?)
        }
        #[cfg(feature = "compiler")]
        CacheCommand::Optimize(args) => optimize::run(args)?,
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn open(config: &CacheConfig) -> Result<Cache> {
    Cache::open(config).context("cannot use the cache")
}

/// A line for each entry, and one for all of them.
fn listed(entries: &[EntryInfo]) -> String {
    let now = SystemTime::now();
    let mut text = String::new();
    for entry in entries {
        let age = now.duration_since(entry.last_used).unwrap_or_default();
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:>10}  {:>7}  {}", format_size(entry.size), format_age(age), entry.path.display());
    }
    let total = entries.iter().map(|entry| entry.size).sum();
    let _ = writeln!(text, "{}, {}", modules(entries.len() as u64), format_size(total));
    text
}

fn removed(pruned: Pruned) -> String {
    format!("removed {}, {}\n", modules(pruned.modules), format_size(pruned.bytes))
}

fn modules(number: u64) -> String {
    format!("{number} compiled module{}", if number == 1 { "" } else { "s" })
}
