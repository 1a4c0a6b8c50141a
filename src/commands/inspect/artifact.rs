//! Describes a compiled module: what it was made from and for, its imports, exports and functions, and its parts.

use std::io::Read;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use wasmo::{ArtifactContents, ArtifactHalf, ArtifactInfo, OptLevel};

use super::SHOWN_FUNCTIONS;
use super::text::{Row, count, line, printable, section, table};
use crate::args::InspectArgs;
use crate::input::Artifact;
use crate::output;

/// Prints what is in an artefact, as far as it can be read.
///
/// # Errors
///
/// When it is damaged.
pub(super) fn show(args: &InspectArgs, artifact: Box<Artifact>) -> Result<ExitCode> {
    let name = args.file.display();
    let Artifact { mut file, info } = *artifact;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).with_context(|| format!("cannot read `{name}`"))?;
    let size = bytes.len() as u64;
    let damaged = info.damaged(&bytes);
    let contents = info.contents(bytes);

    let checksums = match &damaged {
        Ok(halves) => checksums(halves),
        Err(error) => error.to_string(),
    };
    let mut text = format!("{}: compiled module, {}\n", printable(&name.to_string()), count(size, "byte"));
    table(&mut text, &origin(&info, checksums));
    if let Ok(contents) = &contents {
        describe(&mut text, contents, if args.all { usize::MAX } else { SHOWN_FUNCTIONS });
    }
    let parts = info.parts().filter(|(_, size)| *size > 0);
    let parts = parts.map(|(name, size)| vec![format!("{size:>8} bytes"), name.to_owned()]);
    section(&mut text, "parts", &parts.collect::<Vec<_>>());
    output::print(&text)?;
    let whole = damaged.with_context(|| format!("`{name}` is damaged"))?.is_empty();
    contents.with_context(|| format!("`{name}` is damaged"))?;
    if !whole {
        bail!("`{name}` is damaged: its checksums do not fit");
    }
    Ok(ExitCode::SUCCESS)
}

fn checksums(damaged: &[ArtifactHalf]) -> String {
    let state = |half| if damaged.contains(&half) { "DAMAGED" } else { "right" };
    format!("code {}, names and tables {}", state(ArtifactHalf::Code), state(ArtifactHalf::Tables))
}

/// What it was made by, from, and for.
fn origin(info: &ArtifactInfo, checksums: String) -> Vec<Row> {
    let hash: String = info.module_hash().iter().map(|byte| format!("{byte:02x}")).collect();
    let extent = if info.is_partial() { "a part of its code, as runs have needed it" } else { "all of its code" };
    let optimised = match info.opt_level() {
        OptLevel::None => "opt-level 0",
        _ => "opt-level 2",
    };
    let options = [
        (true, optimised),
        (info.strict_traps(), "strict traps"),
        (info.epoch_interruption(), "epochs"),
        (info.consume_fuel(), "fuel"),
    ];
    let options = options.into_iter().filter(|(is_on, _)| *is_on).map(|(_, name)| name).collect::<Vec<_>>();
    let rows = [
        ("made by", format!("wasmo {}{}", info.version(), if info.is_sealed() { ", for its cache" } else { "" })),
        ("from", format!("{} of WebAssembly, BLAKE3 {hash}", count(info.module_size(), "byte"))),
        ("holds", extent.to_owned()),
        ("for", format!("{}, {}", info.target(), info.cpu())),
        ("may use", info.cpu_features().join(", ")),
        ("with", options.join(", ")),
        ("checksums", checksums),
    ];
    rows.into_iter().map(|(name, value)| vec![name.to_owned(), printable(&value)]).collect()
}

/// What is in the module; at most `shown` functions are listed.
fn describe(text: &mut String, contents: &ArtifactContents, shown: usize) {
    if let Some(name) = contents.name() {
        line(text, &format!("\nmodule {}", printable(name)));
    }
    let imports = contents
        .imports()
        .map(|import| vec![printable(import.module()), printable(import.name()), import.ty().to_string()]);
    section(text, "imports", &imports.collect::<Vec<_>>());
    let exports = contents.exports().map(|export| vec![printable(export.name()), export.ty().to_string()]);
    section(text, "exports", &exports.collect::<Vec<_>>());

    let mut functions = contents.functions();
    functions.sort_by_key(|function| std::cmp::Reverse(function.code_size));
    let rows = functions.iter().take(shown).map(|function| {
        let name = function.demangled_name().map(|name| printable(&name)).unwrap_or_default();
        vec![format!("{:>8} bytes", function.code_size), format!("#{} {name}", function.index)]
    });
    section(text, "functions by size of their machine code", &rows.collect::<Vec<_>>());
    if functions.len() > shown {
        line(text, &format!("  … and {} smaller ones (--all lists them)", functions.len() - shown));
    }
}
