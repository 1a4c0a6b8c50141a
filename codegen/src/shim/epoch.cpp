//! Epoch polls: a look at the engine's epoch counter on entry to each function and on each back-edge of its loops.
//!
//! They are inserted after optimisation, where a loop's form no longer matters to anyone but the code generator: a poll that the vectoriser
//! sees keeps it from vectorising.
//!
//! A poll is: load the counter, load the deadline, compare, and in a cold block of its own call the helper for a passed deadline through the exit
//! stub. The helper may set a later deadline and come back.

#include "llvm-c/Core.h"
#include "llvm/Analysis/CFG.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/MDBuilder.h"
#include "llvm/IR/Module.h"
#include "llvm/Transforms/Utils/BasicBlockUtils.h"
#include <cstdint>

using namespace llvm;

extern "C" {

/// Where a poll finds what it needs: offsets of fields in bytes.
struct WasmoPollLayout {
  /// Of the execution context's address in the instance's context.
  uint64_t exec;
  /// In the execution context: the address of the helper table, the address of the epoch counter, the deadline.
  uint64_t builtins, epoch, deadline;
  /// In the helper table: the exit stub, the helper for a passed deadline.
  uint64_t exit, new_epoch;
};

} // extern "C"

namespace {

/// Inserts the polls of one function.
class Poller {
public:
  Poller(Function &function, Argument &context, const WasmoPollLayout &layout)
      : function(function), context(context), layout(layout), pointer(PointerType::get(function.getContext(), 0)),
        i64(Type::getInt64Ty(function.getContext())) {}

  void run() {
    SmallVector<std::pair<const BasicBlock *, const BasicBlock *>, 8> edges;
    FindFunctionBackedges(function, edges);
    // Only an alloca in the entry block is part of the fixed frame, and the entry block is about to be split.
    for (Instruction &instruction : make_early_inc_range(function.getEntryBlock()))
      if (auto *alloca = dyn_cast<AllocaInst>(&instruction); alloca && alloca->isStaticAlloca())
        alloca->moveBefore(function.getEntryBlock().begin());
    BasicBlock::iterator start = function.getEntryBlock().getFirstNonPHIOrDbgOrAlloca();
    IRBuilder<> builder(&function.getEntryBlock(), start);
    exec = load_constant(builder, pointer, &context, layout.exec, "exec");
    counter = load_constant(builder, pointer, exec, layout.epoch, "epoch");
    for (auto [from, to] : edges) {
      BasicBlock *middle = SplitEdge(const_cast<BasicBlock *>(from), const_cast<BasicBlock *>(to));
      // A switch may have several edges between the same two blocks, of which one is split at a time.
      if (middle != nullptr)
        poll(middle->getTerminator());
    }
    poll(cast<Instruction>(counter)->getNextNode());
  }

private:
  Value *load_constant(IRBuilder<> &builder, Type *type, Value *base, uint64_t offset, const char *name) {
    LoadInst *load = builder.CreateLoad(type, field(builder, base, offset), name);
    load->setMetadata(LLVMContext::MD_invariant_load, MDNode::get(function.getContext(), {}));
    return load;
  }

  Value *field(IRBuilder<> &builder, Value *base, uint64_t offset) {
    return builder.CreatePtrAdd(base, builder.getInt64(offset));
  }

  void poll(Instruction *before) {
    IRBuilder<> builder(before);
    LoadInst *now = builder.CreateLoad(i64, counter, "now");
    // Another thread advances the counter at any time.
    now->setAtomic(AtomicOrdering::Monotonic);
    LoadInst *deadline = builder.CreateLoad(i64, field(builder, exec, layout.deadline), "deadline");
    Value *passed = builder.CreateICmpUGE(now, deadline);
    MDNode *unlikely = MDBuilder(function.getContext()).createUnlikelyBranchWeights();
    builder.SetInsertPoint(SplitBlockAndInsertIfThen(passed, before, false, unlikely));
    Value *builtins = load_constant(builder, pointer, exec, layout.builtins, "builtins");
    Value *exit = load_constant(builder, pointer, builtins, layout.exit, "exit");
    Value *helper = load_constant(builder, pointer, builtins, layout.new_epoch, "new_epoch");
    FunctionType *type =
        FunctionType::get(Type::getVoidTy(function.getContext()), {pointer, pointer, pointer, pointer}, false);
    CallInst *call = builder.CreateCall(type, exit, {exec, helper, &context, Constant::getNullValue(pointer)});
    call->setTailCallKind(CallInst::TCK_NoTail);
    call->addFnAttr(Attribute::Cold);
    call->addFnAttr(Attribute::NoUnwind);
    if (before->getDebugLoc())
      call->setDebugLoc(before->getDebugLoc());
  }

  Function &function;
  Argument &context;
  const WasmoPollLayout &layout;
  Type *pointer;
  Type *i64;
  Value *exec = nullptr;
  Value *counter = nullptr;
};

} // namespace

extern "C" {

/// Inserts the polls of a function that is defined and has a context, in a `swiftself` parameter.
void wasmo_insert_epoch_polls(LLVMValueRef value, const WasmoPollLayout *layout) {
  Function &function = *unwrap<Function>(value);
  for (Argument &argument : function.args()) {
    if (argument.hasSwiftSelfAttr()) {
      Poller(function, argument, *layout).run();
      return;
    }
  }
}

} // extern "C"
