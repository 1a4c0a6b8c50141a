//! Wild arguments from a guest. The signatures here are written down a second time, so that a slip in the linker's table
//! does not go unnoticed: it would be an import of the wrong type.

use crate::instantiate;
use std::fmt::Write as _;
use wasmo::Val;
use wasmo_wasi::{DirPerms, FilePerms, I32Exit, MemoryInputPipe, WasiCtx, WasiCtxBuilder};

/// Every function of preview 1 with its parameters: `w` is an i32, `d` an i64. All but `proc_exit` return an i32.
const FUNCTIONS: [(&str, &str); 46] = [
    ("args_get", "ww"),
    ("args_sizes_get", "ww"),
    ("clock_res_get", "ww"),
    ("clock_time_get", "wdw"),
    ("environ_get", "ww"),
    ("environ_sizes_get", "ww"),
    ("fd_advise", "wddw"),
    ("fd_allocate", "wdd"),
    ("fd_close", "w"),
    ("fd_datasync", "w"),
    ("fd_fdstat_get", "ww"),
    ("fd_fdstat_set_flags", "ww"),
    ("fd_fdstat_set_rights", "wdd"),
    ("fd_filestat_get", "ww"),
    ("fd_filestat_set_size", "wd"),
    ("fd_filestat_set_times", "wddw"),
    ("fd_pread", "wwwdw"),
    ("fd_prestat_dir_name", "www"),
    ("fd_prestat_get", "ww"),
    ("fd_pwrite", "wwwdw"),
    ("fd_read", "wwww"),
    ("fd_readdir", "wwwdw"),
    ("fd_renumber", "ww"),
    ("fd_seek", "wdww"),
    ("fd_sync", "w"),
    ("fd_tell", "ww"),
    ("fd_write", "wwww"),
    ("path_create_directory", "www"),
    ("path_filestat_get", "wwwww"),
    ("path_filestat_set_times", "wwwwddw"),
    ("path_link", "wwwwwww"),
    ("path_open", "wwwwwddww"),
    ("path_readlink", "wwwwww"),
    ("path_remove_directory", "www"),
    ("path_rename", "wwwwww"),
    ("path_symlink", "wwwww"),
    ("path_unlink_file", "www"),
    ("poll_oneoff", "wwww"),
    ("proc_exit", "w"),
    ("proc_raise", "w"),
    ("random_get", "ww"),
    ("sched_yield", ""),
    ("sock_accept", "www"),
    ("sock_recv", "wwwwww"),
    ("sock_send", "wwwww"),
    ("sock_shutdown", "ww"),
];

/// A module that exports every function it imports, called by one of its own.
fn module() -> String {
    let mut imports = String::new();
    let mut functions = String::new();
    for (name, params) in FUNCTIONS {
        let list = params.replace('w', " i32").replace('d', " i64");
        let result = if name == "proc_exit" { "" } else { "(result i32)" };
        writeln!(imports, "(import \"wasi_snapshot_preview1\" \"{name}\" (func ${name} (param{list}) {result}))")
            .unwrap();
        let arguments: String = (0..params.len()).map(|index| format!(" (local.get {index})")).collect();
        writeln!(functions, "(func (export \"{name}\") (param{list}) {result} (call ${name}{arguments}))").unwrap();
    }
    format!("(module {imports} (memory (export \"memory\") 1) {functions})")
}

fn ctx(host: &tempfile::TempDir) -> WasiCtx {
    WasiCtxBuilder::new()
        .args(["program", "argument"])
        .env("NAME", "value")
        .stdin(MemoryInputPipe::new("input"))
        .preopened_dir(host.path(), "/", DirPerms::all(), FilePerms::all())
        .unwrap()
        .build()
}

#[test]
fn every_function_can_be_called_with_anything() {
    let host = tempfile::tempdir().unwrap();
    let (mut store, instance) = instantiate(&module(), ctx(&host)).unwrap();
    for wild in [0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_fff8, 0xffff_ffff_u32] {
        for first in [0, 1, 3, 4, wild] {
            *store.data_mut() = ctx(&host);
            for (name, params) in FUNCTIONS {
                let arguments: Vec<Val> = params
                    .chars()
                    .enumerate()
                    .map(|(index, kind)| match (index, kind) {
                        (0, 'w') => Val::I32(first.cast_signed()),
                        (_, 'w') => Val::I32(wild.cast_signed()),
                        _ => Val::I64(u64::from(wild).cast_signed() << 31),
                    })
                    .collect();
                let function = instance.get_func(&mut store, name).unwrap();
                let mut results = [Val::I32(-1)];
                if name == "proc_exit" {
                    let error = function.call(&mut store, &arguments, &mut []).unwrap_err();
                    assert_eq!(error.downcast_ref(), Some(&I32Exit(first.cast_signed())));
                } else {
                    function.call(&mut store, &arguments, &mut results).unwrap();
                    assert!(matches!(results, [Val::I32(0..=76)]), "{name}: {results:?}");
                }
            }
        }
    }
}
