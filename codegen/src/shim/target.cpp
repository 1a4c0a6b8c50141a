//! Questions about CPUs that LLVM's C API cannot ask.

#include "llvm-c/TargetMachine.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/TargetParser/Triple.h"
#include <memory>

using namespace llvm;

extern "C" {

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

} // extern "C"
