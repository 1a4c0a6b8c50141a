//! Calls into LLVM from which fatal errors come back; see protect.cpp.

#pragma once
#include <csetjmp>

namespace wasmo {

struct Way {
  jmp_buf back;
  char message[512];
};

/// Where a fatal error on this thread goes, if anywhere.
Way *&way();

/// Lets fatal errors go there.
void catch_fatal_errors();

/// A copy of `text` that LLVMDisposeMessage frees.
char *copy_message(const char *text);

/// Runs `body`, which answers null or a message. Answers 0 and sets no message when all went well, 1 with a message after an error that leaves
/// everything usable, 2 with a message after a fatal one.
template <typename Body> int protect(char **message, Body body) {
  catch_fatal_errors();
  Way here;
  if (setjmp(here.back) != 0) {
    way() = nullptr;
    *message = copy_message(here.message);
    return 2;
  }
  way() = &here;
  char *error = body();
  way() = nullptr;
  *message = error;
  return error != nullptr;
}

} // namespace wasmo
