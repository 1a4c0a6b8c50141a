//! LLVM's order of passes, with wasmo's own in it.

#include "optimize.h"
#include "arrays.h"
#include "places.h"
#include "quiet.h"
#include "llvm/Analysis/CFG.h"
#include "llvm/Analysis/CGSCCPassManager.h"
#include "llvm/Analysis/LoopAnalysisManager.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/PassInstrumentation.h"
#include "llvm/IR/PassManager.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Target/TargetMachine.h"

using namespace llvm;

namespace {

/// What makes two thirds of the translator's instructions go away: common subexpressions, known branches, peepholes. It leaves no more code than O2, since the
/// producer of the module has optimised it, in a tenth of the time.
constexpr StringLiteral CLEAN_UP =
    "function(mem2reg,early-cse<memssa>,simplifycfg,instcombine<max-iterations=1;no-verify-fixpoint>,simplifycfg)";

/// Blocks with more instructions than this cost the code generator time that grows with their square.
constexpr size_t LONG_BLOCK = 1000;

/// Spares functions with a long block and without loops what is optional in the code generator: they run once, to fill a table or to initialise a module.
void spare_straight_lines(Module &module) {
  for (Function &function : module) {
    if (none_of(function, [](const BasicBlock &block) { return block.size() > LONG_BLOCK; }))
      continue;
    SmallVector<std::pair<const BasicBlock *, const BasicBlock *>, 8> edges;
    FindFunctionBackedges(function, edges);
    if (!edges.empty())
      continue;
    function.addFnAttr(Attribute::NoInline);
    function.addFnAttr(Attribute::OptimizeNone);
  }
}

void place_loads(Module &module) {
  for (Function &function : module)
    wasmo_place_loads(function);
}

} // namespace

void wasmo_optimize_module(Module &module, TargetMachine &machine, bool light, const WasmoStop &stop) {
  PipelineTuningOptions tuning;
  tuning.LoopVectorization = true;
  tuning.SLPVectorization = true;
  tuning.LoopInterleaving = true;
  tuning.LoopUnrolling = true;
  // A profile of the call graph orders functions at link time, which wasmo's linker does not do.
  tuning.CallGraphProfile = false;

  bool stopped = false;
  PassInstrumentationCallbacks callbacks;
  callbacks.registerShouldRunOptionalPassCallback([&](StringRef, Any) {
    stopped = stopped || stop.wanted(stop.context);
    return !stopped;
  });
  PassBuilder builder(&machine, tuning, std::nullopt, &callbacks);
  wasmo_register_quiet_passes(builder);
  wasmo_register_array_passes(builder);
  wasmo_mark_quiet(module);

  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager components;
  ModuleAnalysisManager modules;
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  if (!light) {
    builder.buildPerModuleDefaultPipeline(OptimizationLevel::O2).run(module, modules);
    place_loads(module);
    return;
  }
  ModulePassManager passes;
  cantFail(builder.parsePassPipeline(passes, CLEAN_UP));
  passes.run(module, modules);
  for (Function &function : module)
    if (!function.isDeclaration())
      wasmo_settle_quiet(function);
  place_loads(module);
  spare_straight_lines(module);
}
