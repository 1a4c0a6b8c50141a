//! Code emission with passes that are set up once: LLVM's way, a pass manager for each module, spends a third of its time on setting it up when the module is small.
//!
//! A pass manager may run over one module after the other (LLVM tests it with `llc -compile-twice`): the printer's streamer is reset at the end of each.

#include "protect.h"
#include "llvm-c/Core.h"
#include "llvm-c/TargetMachine.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"
#include <cstring>

using namespace llvm;

struct WasmoEmitter {
  SmallVector<char, 0> bytes;
  raw_svector_ostream stream{bytes};
  legacy::PassManager passes;
};

extern "C" {

/// An emitter of object files by `machine`, which must outlive it; null when the machine makes none.
WasmoEmitter *wasmo_emitter_new(LLVMTargetMachineRef machine) {
  auto emitter = std::make_unique<WasmoEmitter>();
  auto *target = reinterpret_cast<TargetMachine *>(machine);
  if (target->addPassesToEmitFile(emitter->passes, emitter->stream, nullptr, CodeGenFileType::ObjectFile))
    return nullptr;
  return emitter.release();
}

/// Frees an emitter.
void wasmo_emitter_free(WasmoEmitter *emitter) { delete emitter; }

/// Makes an object file of `module`. Results as `protect` says; the message is to be freed with LLVMDisposeMessage. After a fatal error the emitter must be leaked, too.
int wasmo_emitter_run(WasmoEmitter *emitter, LLVMModuleRef module, LLVMMemoryBufferRef *out, char **message) {
  return wasmo::protect(message, [=]() -> char * {
    emitter->bytes.clear();
    emitter->passes.run(*unwrap(module));
    *out = LLVMCreateMemoryBufferWithMemoryRangeCopy(emitter->bytes.data(), emitter->bytes.size(), "object");
    return nullptr;
  });
}

} // extern "C"
