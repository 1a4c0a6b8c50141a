//! [`Progress`]: shows how far a long compilation is, and lets Ctrl-C end it.
//!
//! The threads that compile only leave numbers behind; one thread draws, so that the clock goes on between two reports.

use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use wasmo::CompileObserver;

use crate::stop::Stop;

/// Compilations that take no longer than this show nothing.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often the bar is drawn.
const PERIOD: Duration = Duration::from_millis(100);

/// Watches one compilation.
pub(crate) struct Progress {
    stop: Stop,
    state: Arc<State>,
    drawing: Option<(Sender<()>, JoinHandle<()>)>,
}

/// Bytes of wasm code.
#[derive(Default)]
struct State {
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// Watches the compilation of `file`, which begins now; `stop` ends it. Nothing is drawn unless standard error is a terminal.
    pub(crate) fn new(file: &Path, stop: Stop) -> Self {
        let state = Arc::new(State::default());
        let drawing = stderr().is_terminal().then(|| {
            let label = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let (alive, ended) = channel();
            let state = Arc::clone(&state);
            (alive, thread::spawn(move || draw(label, &state, &ended)))
        });
        Self { stop, state, drawing }
    }
}

/// Draws until the other end of `ended` is dropped.
fn draw(label: String, state: &State, ended: &Receiver<()>) {
    let goes_on = |time| ended.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
    if !goes_on(PATIENCE) {
        return;
    }
    // The template is a constant that parses; the default style would do as well.
    let style = ProgressStyle::with_template("compiling {msg} {wide_bar} {percent:>3} % {elapsed_precise}");
    let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr())
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(label)
        .with_elapsed(PATIENCE);
    loop {
        bar.set_length(state.total.load(Ordering::Relaxed).max(1));
        bar.set_position(state.done.load(Ordering::Relaxed));
        bar.tick();
        if !goes_on(PERIOD) {
            break;
        }
    }
    bar.finish_and_clear();
}

impl CompileObserver for Progress {
    fn progress(&self, done: u64, total: u64) {
        self.state.total.store(total, Ordering::Relaxed);
        self.state.done.fetch_max(done, Ordering::Relaxed);
    }

    fn cancelled(&self) -> bool {
        self.stop.requested().is_some()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((alive, thread)) = self.drawing.take() {
            drop(alive);
            // The thread only draws; if it panicked, the compilation is none the worse.
            let _ = thread.join();
        }
    }
}
