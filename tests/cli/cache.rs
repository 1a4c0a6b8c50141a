//! The cache of compiled modules: `wasmo cache`.

use std::fs;
use std::path::PathBuf;

use crate::support::{Folder, finish};

#[test]
fn the_path_is_where_variables_say() {
    let folder = Folder::new(&[]);
    folder.wasmo(&["cache", "path"]).gives(0, &format!("{}\n", folder.cache().display())).quietly();
    let path = |variables: &[(&str, &str)]| {
        let mut command = folder.command(&["cache", "path"]);
        command.env_remove("WASMO_CACHE_DIR").env_remove("XDG_CACHE_HOME").env("HOME", "/home/me");
        command.envs(variables.iter().copied());
        let answer = finish(command);
        answer.ends_with(0);
        answer.stdout.trim_end().to_owned()
    };
    assert_eq!(path(&[]), "/home/me/.cache/wasmo");
    assert_eq!(path(&[("XDG_CACHE_HOME", "/x")]), "/x/wasmo");
    assert_eq!(path(&[("XDG_CACHE_HOME", "relative")]), "/home/me/.cache/wasmo");
    assert_eq!(path(&[("XDG_CACHE_HOME", "/x"), ("WASMO_CACHE_DIR", "/y")]), "/y");
    assert_eq!(path(&[("WASMO_CACHE_DIR", "")]), "/home/me/.cache/wasmo");
    let here = fs::canonicalize(folder.path()).expect("it is there");
    assert_eq!(PathBuf::from(path(&[("WASMO_CACHE_DIR", "here")])), here.join("here"));
    assert!(!folder.cache().exists() && !here.join("here").exists());
}

#[test]
fn without_a_cache_there_is_nothing_to_do() {
    let folder = Folder::new(&[]);
    folder.wasmo(&["cache", "list"]).gives(0, "0 compiled modules, 0 B\n").quietly();
    folder.wasmo(&["cache", "clear"]).gives(0, "removed 0 compiled modules, 0 B\n").quietly();
    folder.wasmo(&["cache", "prune", "--max-size", "1MiB"]).gives(0, "removed 0 compiled modules, 0 B\n").quietly();
    folder.wasmo(&["cache", "prune"]).ends_with(2).says(&["--max-size", "--older-than"]);
    assert!(!folder.cache().exists());
}
