//! [`Script`]: executes the directives of one script.
//!
//! A script has one store. Its modules see `spectest` and what the script registered, through one linker. A module that could not be
//! instantiated leaves no current module, so that what follows fails instead of running on the module before it.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow, bail};
use wasmo::{Engine, ImportError, Instance, Linker, Module, Store, Trap, Val};
use wast::lexer::Lexer;
use wast::parser::{self, ParseBuffer};
use wast::token::{Id, Span};
use wast::{QuoteWat, Wast, WastDirective, WastExecute, WastInvoke, Wat};

use crate::modules::{Modules, Refusal};
use crate::report::{Failure, Report};
use crate::spectest::{self, Printer};
use crate::value;
use crate::watchdog::Watchdog;

/// Longer than any directive of the public scripts takes by a factor of a hundred, on a busy machine too.
const DIRECTIVE_LIMIT: Duration = Duration::from_secs(60);

/// A script to run.
pub struct Script<'a> {
    name: &'a str,
    text: &'a str,
    printer: Printer,
    limit: Duration,
}

impl<'a> Script<'a> {
    /// The script with this text. Failures are reported under `name`.
    pub fn new(name: &'a str, text: &'a str) -> Self {
        Self { name, text, printer: Arc::new(|_| {}), limit: DIRECTIVE_LIMIT }
    }

    /// Gives each line that the script prints through `spectest` to `printer`; without one, they are dropped.
    #[must_use]
    pub fn printer(mut self, printer: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.printer = Arc::new(printer);
        self
    }

    /// How long a directive may run, one minute if not set. The one that takes longer is interrupted and fails.
    #[must_use]
    pub fn directive_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs the script in a new store of `engine`, which compiles its modules.
    #[cfg(feature = "compiler")]
    pub fn run(&self, engine: &Engine) -> Report {
        self.run_with(engine, &crate::modules::Compiled)
    }

    /// Runs the script in a new store of `engine`, its modules being those of `modules`.
    pub fn run_with(&self, engine: &Engine, modules: &dyn Modules) -> Report {
        let mut report = Report::default();
        let fail = |report: &mut Report, span: Span, reason: String| {
            let (line, column) = span.linecol_in(self.text);
            report.failed.push(Failure { file: self.name.to_owned(), line: line + 1, column: column + 1, reason });
        };

        let buffer = match self.buffer() {
            Ok(buffer) => buffer,
            Err(error) => {
                fail(&mut report, error.span(), format!("the script cannot be read: {}", error.message()));
                return report;
            }
        };
        let script = match parser::parse::<Wast<'_>>(&buffer) {
            Ok(script) => script,
            Err(error) => {
                fail(&mut report, error.span(), format!("the script cannot be read: {}", error.message()));
                return report;
            }
        };

        let mut run = match Run::new(engine, modules, &self.printer, self.limit) {
            Ok(run) => run,
            Err(error) => {
                fail(&mut report, Span::from_offset(0), format!("the script cannot be started: {error:#}"));
                return report;
            }
        };
        for directive in script.directives {
            let span = directive.span();
            run.watchdog.next();
            // What a panic leaves behind is this script's store only; the worst that it can do is to fail the directives that follow.
            match catch_unwind(AssertUnwindSafe(|| run.directive(directive))) {
                Ok(Ok(())) => report.passed += 1,
                Ok(Err(error)) => fail(&mut report, span, format!("{error:#}")),
                Err(payload) => fail(&mut report, span, format!("internal error: panicked: {}", panic_text(&*payload))),
            }
        }
        report
    }

    /// The binaries of all modules that running the script may ask for, in order; those whose text has none are left out. None when the script cannot be read.
    pub fn binaries(&self) -> Vec<Vec<u8>> {
        let Ok(buffer) = self.buffer() else { return Vec::new() };
        let Ok(script) = parser::parse::<Wast<'_>>(&buffer) else { return Vec::new() };
        script.directives.into_iter().filter_map(binary).collect()
    }

    fn buffer(&self) -> Result<ParseBuffer<'a>, wast::Error> {
        let mut lexer = Lexer::new(self.text);
        // Scripts of the specification have strings with bidirectional marks in them.
        lexer.allow_confusing_unicode(true);
        ParseBuffer::new_with_lexer(lexer)
    }
}

/// The binary of the module in a directive.
fn binary(directive: WastDirective<'_>) -> Option<Vec<u8>> {
    match directive {
        WastDirective::Module(mut module)
        | WastDirective::ModuleDefinition(mut module)
        | WastDirective::AssertMalformed { mut module, .. }
        | WastDirective::AssertInvalid { mut module, .. } => module.encode().ok(),
        WastDirective::AssertUnlinkable { mut module, .. }
        | WastDirective::AssertReturn { exec: WastExecute::Wat(mut module), .. }
        | WastDirective::AssertTrap { exec: WastExecute::Wat(mut module), .. } => module.encode().ok(),
        _ => None,
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "no message",
    }
}

/// A script under way.
struct Run<'e> {
    engine: &'e Engine,
    modules: &'e dyn Modules,
    linker: Linker<()>,
    store: Store<()>,
    watchdog: Watchdog,
    current: Option<Instance>,
    instances: HashMap<String, Instance>,
    last_definition: Option<Module>,
    definitions: HashMap<String, Module>,
}

impl<'e> Run<'e> {
    fn new(engine: &'e Engine, modules: &'e dyn Modules, printer: &Printer, limit: Duration) -> Result<Self> {
        let mut store = Store::new(engine, ());
        let mut linker = Linker::new(engine);
        // A script may register another module under a name that it used before.
        linker.allow_shadowing(true);
        spectest::define(&mut store, &mut linker, printer)?;
        let watchdog = Watchdog::new(store.interrupt_handle(), limit);
        Ok(Self {
            engine,
            modules,
            linker,
            store,
            watchdog,
            current: None,
            instances: HashMap::new(),
            last_definition: None,
            definitions: HashMap::new(),
        })
    }

    fn directive(&mut self, directive: WastDirective<'_>) -> Result<()> {
        match directive {
            WastDirective::Module(mut module) => {
                let name = module.name();
                self.current = None;
                let module = self.compile(&mut module)?;
                self.last_definition = Some(module.clone());
                self.instantiate(name, &module)
            }
            WastDirective::ModuleDefinition(mut module) => {
                let name = module.name();
                self.last_definition = None;
                let module = self.compile(&mut module)?;
                self.last_definition = Some(module.clone());
                if let Some(name) = name {
                    self.definitions.insert(name.name().to_owned(), module);
                }
                Ok(())
            }
            WastDirective::ModuleInstance { instance, module, .. } => {
                self.current = None;
                let module = match module {
                    Some(id) => self.definitions.get(id.name()).cloned(),
                    None => self.last_definition.clone(),
                };
                let module = module.context("there is no such module definition")?;
                self.instantiate(instance, &module)
            }
            WastDirective::Register { name, module, .. } => {
                let instance = self.instance(module)?;
                self.linker.instance(&mut self.store, name, instance)?;
                Ok(())
            }
            WastDirective::Invoke(invoke) => self.invoke(&invoke)?.map(drop).context("the invocation failed"),
            WastDirective::AssertReturn { exec, results, .. } => {
                let values = self.execute(exec)?.context("expected results, but it failed")?;
                value::check_results(&self.store, &values, &results)
            }
            WastDirective::AssertTrap { exec, message, .. } => {
                let outcome = self.execute(exec)?;
                expect_trap(outcome, message)
            }
            WastDirective::AssertExhaustion { call, message, .. } => {
                let outcome = self.invoke(&call)?;
                expect_trap(outcome, message)
            }
            WastDirective::AssertMalformed { mut module, message, .. }
            | WastDirective::AssertInvalid { mut module, message, .. } => self.expect_refused(&mut module, message),
            WastDirective::AssertMalformedCustom { mut module, message, .. }
            | WastDirective::AssertInvalidCustom { mut module, message, .. } => {
                // Annotations exist in the text only, so it is the text that has to be refused.
                if module.encode().is_ok() {
                    bail!("expected a custom section that is refused ({message})");
                }
                Ok(())
            }
            WastDirective::AssertUnlinkable { module, message, .. } => self.expect_unlinkable(module, message),
            WastDirective::AssertException { .. } => bail!("exceptions are not supported"),
            WastDirective::AssertSuspension { .. } => bail!("stack switching is not supported"),
            WastDirective::Thread(_) | WastDirective::Wait { .. } => bail!("threads are not supported"),
        }
    }

    fn compile(&self, module: &mut QuoteWat<'_>) -> Result<Module> {
        if let QuoteWat::Wat(Wat::Component(_)) | QuoteWat::QuoteComponent(..) = module {
            bail!("components are not supported");
        }
        let bytes = module.encode().map_err(|error| anyhow!("the module's text is refused: {}", error.message()))?;
        let module = self.modules.load(self.engine, &bytes);
        module.map_err(|Refusal { error, .. }| error.context("the module is refused"))
    }

    fn instantiate(&mut self, name: Option<Id<'_>>, module: &Module) -> Result<()> {
        let instance = self.linker.instantiate(&mut self.store, module).context("the module cannot be instantiated")?;
        if let Some(name) = name {
            self.instances.insert(name.name().to_owned(), instance);
        }
        self.current = Some(instance);
        Ok(())
    }

    fn instance(&self, name: Option<Id<'_>>) -> Result<Instance> {
        match name {
            Some(name) => {
                self.instances.get(name.name()).copied().with_context(|| format!("there is no module ${}", name.name()))
            }
            None => self.current.context("there is no current module"),
        }
    }

    /// The outer result is the script's (what it names exists), the inner one what became of the execution.
    fn execute(&mut self, exec: WastExecute<'_>) -> Result<Result<Vec<Val>>> {
        match exec {
            WastExecute::Invoke(invoke) => self.invoke(&invoke),
            WastExecute::Wat(module) => {
                let module = self.compile(&mut QuoteWat::Wat(module))?;
                Ok(self.linker.instantiate(&mut self.store, &module).map(|_| Vec::new()))
            }
            WastExecute::Get { module, global, .. } => {
                let instance = self.instance(module)?;
                let found = instance.get_global(&mut self.store, global);
                let found = found.with_context(|| format!("the module exports no global `{global}`"))?;
                Ok(Ok(vec![found.get(&mut self.store)]))
            }
        }
    }

    fn invoke(&mut self, invoke: &WastInvoke<'_>) -> Result<Result<Vec<Val>>> {
        let instance = self.instance(invoke.module)?;
        let func = instance.get_func(&mut self.store, invoke.name);
        let func = func.with_context(|| format!("the module exports no function `{}`", invoke.name))?;
        let args = invoke.args.iter().map(|arg| value::argument(&mut self.store, arg)).collect::<Result<Vec<_>>>()?;
        let mut results = vec![Val::I32(0); func.ty(&self.store).results().len()];
        Ok(func.call(&mut self.store, &args, &mut results).map(|()| results))
    }

    /// A text that cannot be encoded is refused; bytes are refused only if both ways into the engine say so.
    fn expect_refused(&self, module: &mut QuoteWat<'_>, message: &str) -> Result<()> {
        let Ok(bytes) = module.encode() else { return Ok(()) };
        let results = [
            ("validates", self.modules.validate(self.engine, &bytes)),
            ("compiles", self.modules.load(self.engine, &bytes).map(drop)),
        ];
        for (success, result) in results {
            let Err(refusal) = result else { bail!("expected a module that is refused ({message}), but it {success}") };
            if !refusal.breaks_a_rule {
                let expected = format!("expected a module that is refused ({message}), got another error");
                return Err(refusal.error.context(expected));
            }
        }
        Ok(())
    }

    fn expect_unlinkable(&mut self, module: Wat<'_>, message: &str) -> Result<()> {
        let module = self.compile(&mut QuoteWat::Wat(module))?;
        let error = match self.linker.instantiate(&mut self.store, &module) {
            Ok(_) => bail!("expected a module that does not link ({message}), but it does"),
            Err(error) => error,
        };
        let problems = error.downcast_ref::<ImportError>().map_or(&[][..], ImportError::problems);
        if problems.iter().any(|problem| problem.to_string().starts_with(message)) {
            return Ok(());
        }
        Err(error.context(format!("expected a module that does not link ({message}), got another error")))
    }
}

fn trap_of(error: &Error) -> Option<&Trap> {
    error.downcast_ref::<Trap>()
}

fn expect_trap(outcome: Result<Vec<Val>>, message: &str) -> Result<()> {
    let error = match outcome {
        Ok(values) => bail!("expected a trap ({message}), got {} results", values.len()),
        Err(error) => error,
    };
    let Some(trap) = trap_of(&error) else {
        return Err(error.context(format!("expected a trap ({message}), got another error")));
    };
    let actual = trap.message();
    if actual.starts_with(message) || message.starts_with(actual) {
        Ok(())
    } else {
        bail!("expected the trap `{message}`, got `{actual}`")
    }
}
