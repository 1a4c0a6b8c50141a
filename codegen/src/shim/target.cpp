//! What LLVM's C API lacks to choose a target: questions about CPUs, and options.

#include "llvm-c/TargetMachine.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/AArch64TargetParser.h"
#include "llvm/TargetParser/Triple.h"
#include <cstring>
#include <iterator>
#include <memory>
#include <string>

using namespace llvm;

namespace {

/// Scheduling after register allocation costs 6 % of the time that emission takes, and out-of-order processors do it themselves. Variables, whose places LLVM
/// would find out in another 5 %, our debug information has none of.
const char *const options[] = {"wasmo", "-disable-post-ra", "-experimental-debug-variable-locations=false"};

/// The features by which LLVM tunes code for one processor or another, without an effect on which instructions it may use. Only for x86 does LLVM keep them apart.
FeatureBitset tuning_features(const MCSubtargetInfo &subtarget) {
  FeatureBitset tuning;
  for (const SubtargetSubTypeKV &processor : subtarget.getAllProcessorDescriptions())
    tuning |= processor.TuneImplies.getAsBitset();
  return tuning;
}

} // namespace

extern "C" {

/// Sets the options of LLVM that have no other interface; to be called once. They hold for the whole process. Where another user of LLVM in it has set them,
/// its values hold, for none matters to correctness.
void wasmo_set_options() { cl::ParseCommandLineOptions(std::size(options), options, "", &nulls()); }

/// Makes `machine` end with a trapping instruction what LLVM takes for unreachable: should it be wrong, or the guest have led it there, the guest
/// traps instead of running into the next function's code.
void wasmo_trap_unreachable(LLVMTargetMachineRef machine) {
  auto &options = reinterpret_cast<TargetMachine *>(machine)->Options;
  options.TrapUnreachable = true;
  // What follows a call that does not return cannot be reached: such a call is a trap, or of a function that ends in one.
  options.NoTrapAfterNoreturn = true;
}

/// What a CPU (by LLVM's name, with `features` added) has of `wanted`, a list such as "+ssse3,+popcnt":
/// 1 when all of it, 0 when not, -1 when LLVM does not know the CPU.
int wasmo_cpu_has(LLVMTargetRef target, const char *triple, const char *cpu, const char *features, const char *wanted) {
  auto *known = reinterpret_cast<const Target *>(target);
  // LLVM prints a warning when it is asked for a CPU that it does not know, so it is asked about the generic one first.
  std::unique_ptr<MCSubtargetInfo> generic(known->createMCSubtargetInfo(Triple(triple), "", ""));
  if (!generic || !generic->isCPUStringValid(cpu))
    return -1;
  std::unique_ptr<MCSubtargetInfo> subtarget(known->createMCSubtargetInfo(Triple(triple), cpu, features));
  return subtarget && subtarget->checkFeatures(wanted);
}

/// The instruction set extensions of a CPU that LLVM knows (with `features` added), their names separated by commas; to be freed with LLVMDisposeMessage. Null when
/// LLVM cannot describe it.
char *wasmo_cpu_extensions(LLVMTargetRef target, const char *triple, const char *cpu, const char *features) {
  auto *known = reinterpret_cast<const Target *>(target);
  Triple parsed(triple);
  std::unique_ptr<MCSubtargetInfo> subtarget(known->createMCSubtargetInfo(parsed, cpu, features));
  if (!subtarget)
    return nullptr;
  FeatureBitset tuning = tuning_features(*subtarget);
  std::string names;
  for (const SubtargetFeatureKV &feature : subtarget->getEnabledProcessorFeatures()) {
    StringRef name = feature.Key;
    bool extension = parsed.isAArch64() ? AArch64::targetFeatureToExtension(("+" + name).str()).has_value()
                                        : !tuning[feature.Value];
    if (!extension)
      continue;
    if (!names.empty())
      names += ',';
    names += name;
  }
  return strdup(names.c_str());
}

} // extern "C"
