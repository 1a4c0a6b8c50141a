//! Writes [`Contents`] as aligned text.

use wasmparser::{ExternalKind, GlobalType, MemoryType, TableType, TypeRef};

use super::super::text::{Row, count, line, printable, section};
use super::contents::Contents;
use crate::units::format_size;

/// The whole text. At most `functions` functions are listed.
pub(crate) fn render(name: &str, size: usize, contents: &Contents<'_>, functions: usize) -> String {
    let code: u64 = contents.bodies.iter().sum();
    let mut text = format!(
        "{}: {}, {} ({} of code), {} ({}), {} ({})\n",
        printable(name),
        count(size as u64, "byte"),
        count(contents.bodies.len() as u64, "function"),
        count(code, "byte"),
        count(contents.data.count, "data segment"),
        count(contents.data.total, "byte"),
        count(contents.elements.count, "element segment"),
        count(contents.elements.total, "element"),
    );
    if let Some(func) = contents.start {
        line(&mut text, &format!("start function: {}", function(contents, index(func))));
    }
    section(&mut text, "imports", &imports(contents));
    section(&mut text, "exports", &exports(contents));
    section(&mut text, "memories", &numbered(contents.memories.iter().map(memory)));
    section(&mut text, "tables", &numbered(contents.tables.iter().map(table)));
    section(&mut text, "globals", &numbered(contents.globals.iter().map(global)));
    render_functions(&mut text, contents, functions);
    let custom = contents.custom.iter();
    section(
        &mut text,
        "custom sections",
        &custom.map(|(name, size)| vec![printable(name), count(*size as u64, "byte")]).collect::<Vec<_>>(),
    );
    text
}

fn imports(contents: &Contents<'_>) -> Vec<Row> {
    let rows = contents.imports.iter().map(|import| {
        let (kind, ty) = match import.ty {
            TypeRef::Func(ty) | TypeRef::FuncExact(ty) => ("func", contents.signature(ty)),
            TypeRef::Table(ty) => ("table", table(&ty)),
            TypeRef::Memory(ty) => ("memory", memory(&ty)),
            TypeRef::Global(ty) => ("global", global(&ty)),
            TypeRef::Tag(ty) => ("tag", contents.signature(ty.func_type_idx)),
        };
        vec![printable(import.module), printable(import.name), kind.to_owned(), ty]
    });
    rows.collect()
}

fn exports(contents: &Contents<'_>) -> Vec<Row> {
    let rows = contents.exports.iter().map(|export| {
        let at = index(export.index);
        let unknown = || "?".to_owned();
        let (kind, ty) = match export.kind {
            ExternalKind::Func | ExternalKind::FuncExact => ("func", contents.function_signature(at)),
            ExternalKind::Table => ("table", contents.tables.get(at).map_or_else(unknown, table)),
            ExternalKind::Memory => ("memory", contents.memories.get(at).map_or_else(unknown, memory)),
            ExternalKind::Global => ("global", contents.globals.get(at).map_or_else(unknown, global)),
            ExternalKind::Tag => ("tag", unknown()),
        };
        vec![printable(export.name), format!("{kind} {}", export.index), ty]
    });
    rows.collect()
}

fn render_functions(text: &mut String, contents: &Contents<'_>, limit: usize) {
    let functions = contents.functions_by_size();
    let shown = functions.len().min(limit);
    let rows: Vec<Row> = functions
        .iter()
        .take(shown)
        .map(|(func, size)| {
            let declaration = format!("{} {}", function(contents, *func), contents.function_signature(*func));
            vec![format!("{size:>8} bytes"), declaration]
        })
        .collect();
    section(text, "functions by size", &rows);
    if shown < functions.len() {
        line(text, &format!("  … and {} smaller ones (--all lists them)", functions.len() - shown));
    }
}

/// A function as `#index name`.
fn function(contents: &Contents<'_>, func: usize) -> String {
    format!("#{func} {}", printable(&contents.function_name(func))).trim_end().to_owned()
}

/// An index for a look-up; one that this machine cannot count is not there either.
fn index(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

fn numbered(items: impl Iterator<Item = String>) -> Vec<Row> {
    items.enumerate().map(|(number, item)| vec![number.to_string(), item]).collect()
}

fn memory(ty: &MemoryType) -> String {
    let page = 1_u64.checked_shl(ty.page_size_log2.unwrap_or(16)).unwrap_or(u64::MAX);
    let pages = |pages: u64| format!("{} ({})", count(pages, "page"), format_size(pages.saturating_mul(page)));
    let mut text = pages(ty.initial);
    if let Some(maximum) = ty.maximum {
        text = format!("{text} to {}", pages(maximum));
    }
    for (flag, word) in [(ty.memory64, ", 64-bit"), (ty.shared, ", shared")] {
        if flag {
            text.push_str(word);
        }
    }
    text
}

fn table(ty: &TableType) -> String {
    let maximum = ty.maximum.map(|maximum| format!(" to {maximum}")).unwrap_or_default();
    format!("{}{maximum} elements of {}", ty.initial, ty.element_type)
}

fn global(ty: &GlobalType) -> String {
    format!("{}{}", if ty.mutable { "mut " } else { "" }, ty.content_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspect(text: &str, functions: usize) -> String {
        let bytes = wat::parse_str(text).expect("a module's text");
        let contents = Contents::read(&bytes).expect("a module");
        render("m.wasm", 1, &contents, functions)
    }

    #[test]
    fn everything_is_shown() {
        let text = inspect(
            r#"(module
                (import "env" "log" (func (param i32) (result i64 f32)))
                (import "env" "mem" (memory 1 2))
                (table 3 funcref)
                (global (mut i32) (i32.const 0))
                (func $small)
                (func $large (export "run") i32.const 1 drop)
                (start $small)
                (data (i32.const 0) "abc")
                (elem (i32.const 0) $small $large))"#,
            10,
        );
        for expected in [
            "m.wasm: 1 byte, 2 functions (7 bytes of code), 1 data segment (3 bytes), 1 element segment (2 elements)\n",
            "start function: #1 small\n",
            "\nimports (2)\n  env  log  func    (i32) -> (i64, f32)\n  env  mem  memory  1 page (64 KiB) to 2 pages (128 KiB)\n",
            "\nexports (1)\n  run  func 2  ()\n",
            "\nmemories (1)\n  0  1 page (64 KiB) to 2 pages (128 KiB)\n",
            "\ntables (1)\n  0  3 elements of funcref\n",
            "\nglobals (1)\n  0  mut i32\n",
            "bytes  #2 large ()\n",
            "\ncustom sections (1)\n  name  ",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in\n{text}");
        }
    }

    #[test]
    fn the_largest_functions_come_first() {
        let text = inspect("(module (func $a) (func $b nop nop) (func $c nop))", 2);
        let at = |name: &str| text.find(name);
        assert!(at("#1 b ()") < at("#2 c") && at("#1 b ()").is_some() && at("#0 a").is_none(), "{text}");
        assert!(text.contains("1 smaller ones"), "{text}");
    }
}
