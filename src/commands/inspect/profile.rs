//! Describes a profile: where a program spends its calls and its loops, and where its calls through tables go.

use std::path::Path;

use anyhow::{Context, Result};
use wasmo::Profile;
use wasmo::profile::Counts;

use super::text::{Row, count, line, printable, section};

/// Calls through tables, branches and the like shown without `--all`.
const SHOWN_SITES: usize = 20;

/// What is in the profile `bytes`, read from the file at `path`. `name` answers names of functions; `all` is not to shorten anything.
///
/// # Errors
///
/// When it is damaged, or of another version.
pub(super) fn describe(path: &Path, bytes: &[u8], all: bool, name: impl Fn(u32) -> String) -> Result<String> {
    let profile = Profile::from_bytes(bytes).with_context(|| format!("cannot use `{}`", path.display()))?;
    let functions = profile.functions();
    let sites: usize = functions.iter().map(|function| function.sites.len()).sum();
    let calls = functions.iter().fold(0_u64, |sum, function| sum.saturating_add(function.entries));
    let mut text = format!(
        "{}: a profile of {}, {} counted operators\n",
        printable(&path.display().to_string()),
        count(functions.len() as u64, "function"),
        sites
    );
    line(&mut text, &format!("calls of functions: {calls}"));
    let func = |index: u32| format!("#{index} {}", printable(&name(index))).trim_end().to_owned();

    let mut hottest: Vec<_> = functions.iter().collect();
    hottest.sort_by_key(|function| (std::cmp::Reverse(function.weight()), function.index));
    let rows = hottest.iter().map(|function| -> Row {
        let rounds = function.weight().saturating_sub(function.entries);
        vec![format!("{:>12} calls", function.entries), format!("{rounds:>12} rounds"), func(function.index)]
    });
    shorten(&mut text, "functions by calls and rounds of loops", rows.collect(), super::SHOWN_FUNCTIONS, all);

    let all_sites = || functions.iter().flat_map(|function| function.sites.iter().map(|site| (function.index, site)));
    let mut calls: Vec<_> = all_sites().filter(|(_, site)| matches!(site.counts, Counts::Call { .. })).collect();
    calls.sort_by_key(|(_, site)| std::cmp::Reverse(site.counts.total()));
    let rows = calls.into_iter().map(|(index, site)| -> Row {
        let target = match site.counts {
            Counts::Call { total, hits, target: Some(target) } => format!("{} {}", percent(hits, total), func(target)),
            _ => String::new(),
        };
        vec![format!("{:>12} times", site.counts.total()), place(index, site.offset), target]
    });
    shorten(&mut text, "calls through tables, and what they mostly call", rows.collect(), SHOWN_SITES, all);

    let mut branches: Vec<_> = all_sites().filter(|(_, site)| !matches!(site.counts, Counts::Call { .. })).collect();
    branches.sort_by_key(|(_, site)| std::cmp::Reverse(site.counts.total()));
    let rows = branches.into_iter().map(|(index, site)| -> Row {
        let what = match &site.counts {
            Counts::Branch { taken, total } => format!("branch, taken {}", percent(*taken, *total)),
            Counts::Table { taken } => {
                let most = taken.iter().enumerate().max_by_key(|(_, count)| **count);
                let (target, most) = most.map_or((0, 0), |(target, count)| (target, *count));
                format!("table, target {target} of {} {}", taken.len(), percent(most, site.counts.total()))
            }
            _ => "loop".to_owned(),
        };
        vec![format!("{:>12} times", site.counts.total()), place(index, site.offset), what]
    });
    shorten(&mut text, "branches and loops", rows.collect(), SHOWN_SITES, all);
    Ok(text)
}

fn place(index: u32, offset: u32) -> String {
    format!("#{index} at 0x{offset:x}")
}

fn percent(part: u64, whole: u64) -> String {
    let percent = u128::from(part) * 100 / u128::from(whole.max(1));
    format!("{percent:>3} %")
}

fn shorten(text: &mut String, heading: &str, rows: Vec<Row>, shown: usize, all: bool) {
    let shown = if all { rows.len() } else { shown.min(rows.len()) };
    section(text, heading, &rows[..shown]);
    if shown < rows.len() {
        line(text, &format!("  … and {} more (--all lists them)", rows.len() - shown));
    }
}
