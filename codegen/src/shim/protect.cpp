//! LLVM's passes and its code emission, called so that what LLVM calls a fatal error comes back as a message.
//!
//! LLVM ends the process in `report_fatal_error` unless a handler leaves it. Ours jumps back to where LLVM was entered. Frames of LLVM are
//! skipped without their destructors, so the module, its context and the target machine must not be used again, nor freed: the caller leaks them.
//! On a thread that is not inside one of the functions here, the handler returns and LLVM does what it does without one.

#include "llvm-c/Core.h"
#include "llvm-c/TargetMachine.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Target/TargetMachine.h"
#include "optimize.h"
#include "protect.h"
#include <cstdio>
#include <cstring>
#include <mutex>

namespace wasmo {

namespace {

thread_local Way *current = nullptr;

void on_fatal_error(void *, const char *reason, bool) {
  if (current == nullptr)
    return;
  std::snprintf(current->message, sizeof(current->message), "%s", reason);
  longjmp(current->back, 1);
}

} // namespace

Way *&way() { return current; }

void catch_fatal_errors() {
  static std::once_flag once;
  std::call_once(once, [] { llvm::install_fatal_error_handler(on_fatal_error); });
}

char *copy_message(const char *text) { return strdup(text); }

} // namespace wasmo

using wasmo::protect;

extern "C" {

/// Runs the passes of `wasmo_optimize_module`. Results as `protect` says; the message is to be freed with LLVMDisposeMessage.
int wasmo_optimize(LLVMModuleRef module, LLVMTargetMachineRef machine, bool light, WasmoStop stop, char **message) {
  return protect(message, [=]() -> char * {
    wasmo_optimize_module(*llvm::unwrap(module), *reinterpret_cast<llvm::TargetMachine *>(machine), light, stop);
    return nullptr;
  });
}

/// LLVMTargetMachineEmitToMemoryBuffer. Results as `protect` says; the message is to be freed with LLVMDisposeMessage.
int wasmo_emit(LLVMTargetMachineRef machine, LLVMModuleRef module, LLVMCodeGenFileType kind, LLVMMemoryBufferRef *out,
               char **message) {
  return protect(message, [=]() -> char * {
    char *text = nullptr;
    if (LLVMTargetMachineEmitToMemoryBuffer(machine, module, kind, &text, out) == 0) {
      LLVMDisposeMessage(text);
      return nullptr;
    }
    return text != nullptr ? text : strdup("LLVM emits no code, and gives no reason");
  });
}

} // extern "C"
