//! LLVM's destructors are not run when the process exits.
//!
//! LLVM is loaded when something is hot, on a thread of ours, and may be at work whenever another thread has the process exit. Its constructors, and some of its functions, have
//! hundreds of destructors called then, in whose midst no other thread may be in LLVM; and what is registered last is called first, so that nobody could hold the exit up in time. They free
//! memory, and no more. The library is loaded so that it finds what is here before C's library (`RTLD_DEEPBIND`, `src/llvm.rs`).

#include "llvm-c/Core.h"
#include <atomic>
#include <dlfcn.h>

namespace {

/// Where the object begins in memory that `address` is in; null for one that is unknown.
void *object_of(const void *address) {
  Dl_info info;
  return dladdr(address, &info) ? info.dli_fbase : nullptr;
}

/// Whether an object, by the address in it that it registers destructors with, is LLVM or the shim.
bool is_ours(void *object) {
  // To ask for it takes half a millisecond each time.
  static std::atomic<void *> known{nullptr};
  static void *const llvm = object_of(reinterpret_cast<void *>(&LLVMGetVersion));
  if (!object || object == known.load(std::memory_order_relaxed))
    return object;
  void *base = object_of(object);
  if (!base || (base != llvm && base != object_of(&known)))
    return false;
  known.store(object, std::memory_order_relaxed);
  return true;
}

} // namespace

extern "C" {

/// Has `destructor` called with `argument` when the object that `object` is an address in is unloaded, or the process exits (Itanium C++ ABI, 3.3.6.3), unless that
/// is LLVM, or the shim: neither is ever unloaded.
int __cxa_atexit(void (*destructor)(void *), void *argument, void *object) {
  using Register = int (*)(void (*)(void *), void *, void *);
  if (is_ours(object))
    return 0;
  // What has defined it before.
  auto next = reinterpret_cast<Register>(dlsym(RTLD_NEXT, "__cxa_atexit"));
  return next && next != __cxa_atexit ? next(destructor, argument, object) : -1;
}

} // extern "C"
