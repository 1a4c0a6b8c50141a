//! [`Progress`]: shows how far a long compilation is, and lets Ctrl-C end it.

use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use wasmo::CompileObserver;

use crate::stop::Stop;

/// Compilations that take no longer than this show nothing.
const PATIENCE: Duration = Duration::from_millis(500);

/// Watches one compilation.
pub(crate) struct Progress {
    stop: Stop,
    start: Instant,
    label: String,
    terminal: bool,
    bar: OnceLock<ProgressBar>,
}

impl Progress {
    /// Watches the compilation of `file`, which begins now; `stop` ends it.
    pub(crate) fn new(file: &Path, stop: Stop) -> Self {
        let label = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { stop, start: Instant::now(), label, terminal: stderr().is_terminal(), bar: OnceLock::new() }
    }

    fn bar(&self, total: u64) -> &ProgressBar {
        self.bar.get_or_init(|| {
            // The template is a constant that parses; the default style would do as well.
            let style = ProgressStyle::with_template("compiling {msg} {wide_bar} {percent:>3} % {elapsed_precise}");
            ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr())
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
                .with_message(self.label.clone())
                .with_elapsed(self.start.elapsed())
        })
    }
}

impl CompileObserver for Progress {
    fn progress(&self, done: u64, total: u64) {
        if self.terminal && self.start.elapsed() > PATIENCE {
            self.bar(total).set_position(done);
        }
    }

    fn cancelled(&self) -> bool {
        self.stop.requested().is_some()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}
