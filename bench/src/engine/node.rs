//! V8, through `node` and its own WASI.

use super::native::Invocation;
use super::{Engine, Prepared, Run};
use crate::guest::Guest;
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const SCRIPT: &str = r#"
const { WASI } = require("node:wasi");
const fs = require("node:fs");
const wasi = new WASI({ version: "preview1", args: ["guest"], env: {} });
const module = new WebAssembly.Module(fs.readFileSync(process.argv[1]));
const instance = new WebAssembly.Instance(module, wasi.getImportObject());
wasi.start(instance);
"#;

/// The `node` command.
pub struct Node {
    versions: String,
}

impl Node {
    /// The `node` on the path, if there is one that has WASI.
    pub fn find() -> Option<Self> {
        let output = Command::new("node")
            .args([
                "--no-warnings",
                "-e",
                "require('node:wasi'); console.log(process.version, 'V8', process.versions.v8)",
            ])
            .output()
            .ok()?;
        output.status.success().then(|| Self { versions: String::from_utf8_lossy(&output.stdout).trim().to_owned() })
    }
}

impl Engine for Node {
    fn name(&self) -> &str {
        "V8"
    }

    fn settings(&self) -> String {
        format!("node {}, its own tiers, a new process each run", self.versions)
    }

    fn prepare(&self, guest: &Guest) -> Result<(Box<dyn Prepared>, Duration)> {
        let args = ["--no-warnings", "-e", SCRIPT, "--"].map(String::from).into_iter();
        let args = args.chain([guest.path.to_string_lossy().into_owned()]).collect();
        Ok((Box::new(Process(Invocation { program: PathBuf::from("node"), args })), Duration::ZERO))
    }
}

struct Process(Invocation);

impl Prepared for Process {
    fn run(&self) -> Result<Run> {
        Ok(Run { instantiate: Duration::ZERO, output: self.0.output()? })
    }
}
