//! An ORC session for wasmo, as far as LLVM's C API cannot make one: an ExecutionSession without a platform, an ObjectLinkingLayer on a
//! SlabMemoryManager, and an error reporter that keeps messages for whoever asks instead of printing them.
//!
//! The rest (dylibs, objects, lookups) goes through the C API (`llvm_sys::orc2`) on the two references handed out here.

#include "slab.h"
#include "llvm-c/Error.h"
#include "llvm-c/Orc.h"
#include "llvm/ExecutionEngine/JITLink/JITLink.h"
#include "llvm/ExecutionEngine/JITLink/x86_64.h"
#include "llvm/ExecutionEngine/Orc/Core.h"
#include "llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h"
#include "llvm/ExecutionEngine/Orc/SelfExecutorProcessControl.h"
#include "llvm/ExecutionEngine/Orc/TaskDispatch.h"
#include <cstring>
#include <string>

using namespace llvm;
using namespace llvm::orc;

namespace {

/// Makes calls between objects plain 32-bit displacements. LLVM marks every call as one that may go through a stub, and JITLink would make a
/// stub and a pointer for each callee in each object, only to bypass them all, since everything in the slab is within reach.
class DirectCalls final : public ObjectLinkingLayer::Plugin {
  void modifyPassConfig(MaterializationResponsibility &, jitlink::LinkGraph &graph,
                        jitlink::PassConfiguration &config) override {
    if (graph.getTargetTriple().getArch() != Triple::x86_64)
      return;
    config.PrePrunePasses.push_back([](jitlink::LinkGraph &graph) {
      for (jitlink::Block *block : graph.blocks())
        for (jitlink::Edge &edge : block->edges())
          if (edge.getKind() == jitlink::x86_64::BranchPCRel32)
            edge.setKind(jitlink::x86_64::PCRel32);
      return Error::success();
    });
  }
  Error notifyFailed(MaterializationResponsibility &) override { return Error::success(); }
  Error notifyRemovingResources(JITDylib &, ResourceKey) override { return Error::success(); }
  void notifyTransferringResources(JITDylib &, ResourceKey, ResourceKey) override {}
};

/// Messages of errors that ORC has no caller to give to, oldest first.
class Reports {
public:
  void add(Error error) {
    std::string message = toString(std::move(error));
    std::lock_guard<std::mutex> lock(mutex);
    // Nobody may ever ask; what is kept is bounded.
    if (text.size() + message.size() > limit)
      return;
    if (!text.empty())
      text += "; ";
    text += message;
  }
  std::string take() {
    std::lock_guard<std::mutex> lock(mutex);
    return std::move(text);
  }

private:
  static constexpr size_t limit = 16 << 10;
  std::mutex mutex;
  std::string text;
};

} // namespace

struct WasmoSession {
  Reports reports;
  std::unique_ptr<ExecutionSession> session;
  std::unique_ptr<ObjectLinkingLayer> layer;
};

extern "C" {

/// A new session in `*out`, with its code at the first of `count` places that is free, or an error. Thread-safe to use; ended by wasmo_session_end.
LLVMErrorRef wasmo_session_new(const uint64_t *places, size_t count, WasmoSession **out) {
  auto memory = wasmo::SlabMemoryManager::create(ArrayRef(places, count));
  if (!memory)
    return wrap(memory.takeError());
  auto control = SelfExecutorProcessControl::Create(nullptr, std::make_unique<InPlaceTaskDispatcher>());
  if (!control)
    return wrap(control.takeError());
  auto result = std::make_unique<WasmoSession>();
  result->session = std::make_unique<ExecutionSession>(std::move(*control));
  result->session->setErrorReporter([reports = &result->reports](Error error) { reports->add(std::move(error)); });
  result->layer = std::make_unique<ObjectLinkingLayer>(*result->session, std::move(*memory));
  result->layer->addPlugin(std::make_shared<DirectCalls>());
  *out = result.release();
  return LLVMErrorSuccess;
}

/// Ends the session and frees it with all code that is still in it.
LLVMErrorRef wasmo_session_end(WasmoSession *session) {
  std::unique_ptr<WasmoSession> owned(session);
  Error error = owned->session->endSession();
  owned->layer.reset();
  return wrap(std::move(error));
}

/// The session for use with the C API; lives as long as the WasmoSession.
LLVMOrcExecutionSessionRef wasmo_session_execution_session(WasmoSession *session) {
  return reinterpret_cast<LLVMOrcExecutionSessionRef>(session->session.get());
}

/// The layer that links object files; lives as long as the WasmoSession.
LLVMOrcObjectLayerRef wasmo_session_object_layer(WasmoSession *session) {
  return reinterpret_cast<LLVMOrcObjectLayerRef>(static_cast<ObjectLayer *>(session->layer.get()));
}

/// Frees all code of a dylib and the dylib, which must not be used again.
LLVMErrorRef wasmo_session_remove_dylib(WasmoSession *session, LLVMOrcJITDylibRef dylib) {
  return wrap(session->session->removeJITDylib(*reinterpret_cast<JITDylib *>(dylib)));
}

/// The messages reported since the last call, or null when there are none; to be freed with LLVMDisposeMessage.
char *wasmo_session_take_reports(WasmoSession *session) {
  std::string text = session->reports.take();
  return text.empty() ? nullptr : strdup(text.c_str());
}

} // extern "C"
