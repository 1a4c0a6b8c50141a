//! How object files are made:
//!
//! * The passes are set up once: LLVM's way, a pass manager for each module, spends a third of its time on setting it up when the module is small. A pass manager may
//!   run over one module after the other (LLVM tests it with `llc -compile-twice`): the printer's streamer is reset at the end of each.
//! * Passes are left out that are not worth their time (`USELESS`, and in code that is made soon `LEFT_OUT`).
//! * Which operator an instruction belongs to is written by `OperatorOffsets`. LLVM's line tables say the same, and take a fifth of the time to make.
//! * In lift-off code, calls in the wasm convention are, on x86-64, written with `swiftcc` instead of `swifttailcc`, for which the fast instruction selector gives up. Arguments and results
//!   are at the same places, in registers. But what is called keeps fewer registers and pops a word, and `WasmCalls` sees to that.
//! * Likewise traps are, on x86-64, written as `llvm.trap`, since of `llvm.ubsantrap` the fast instruction selector knows nothing either; `Traps` makes them what they are to be.

#include "protect.h"
#include "llvm-c/Core.h"
#include "llvm-c/TargetMachine.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/BinaryFormat/ELF.h"
#include "llvm/CodeGen/AsmPrinter.h"
#include "llvm/CodeGen/AsmPrinterHandler.h"
#include "llvm/CodeGen/CodeGenTargetMachineImpl.h"
#include "llvm/CodeGen/MachineFrameInfo.h"
#include "llvm/CodeGen/MachineFunctionPass.h"
#include "llvm/CodeGen/MachineInstrBuilder.h"
#include "llvm/CodeGen/MachineModuleInfo.h"
#include "llvm/CodeGen/Passes.h"
#include "llvm/CodeGen/TargetInstrInfo.h"
#include "llvm/CodeGen/TargetPassConfig.h"
#include "llvm/CodeGen/TargetRegisterInfo.h"
#include "llvm/CodeGen/TargetSubtargetInfo.h"
#include "llvm/IR/DebugInfoMetadata.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/MCContext.h"
#include "llvm/MC/MCSectionELF.h"
#include "llvm/MC/MCStreamer.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/PassInfo.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetLoweringObjectFile.h"
#include "llvm/Target/TargetMachine.h"
#include <cstring>
#include <optional>

using namespace llvm;

namespace {

/// Writes a section of rows of two 32-bit words: an offset in the text, and the line (the operator's offset in the module's bytes; 0 for none) that holds from there to
/// the next row. Rows are in the order of the code.
class OperatorOffsets final : public AsmPrinterHandler {
public:
  explicit OperatorOffsets(AsmPrinter &printer) : printer(printer) {}

  void beginModule(Module *) override {
    rows.clear();
    text = nullptr;
  }

  void beginFunction(const MachineFunction *function) override {
    if (!text) {
      // Where the section begins: nothing stands before the first function.
      text = printer.OutContext.createTempSymbol();
      printer.OutStreamer->emitLabel(text);
    }
    // What the function begins with, such as the check of the stack, belongs to its beginning.
    const DISubprogram *subprogram = function->getFunction().getSubprogram();
    here = std::nullopt;
    begin(subprogram ? subprogram->getScopeLine() : 0);
  }

  void endFunction(const MachineFunction *) override {}

  void beginInstruction(const MachineInstr *instruction) override {
    const DebugLoc &location = instruction->getDebugLoc();
    if (location && !instruction->isMetaInstruction())
      begin(location.getLine());
  }

  void endModule() override {
    // Of thunks there is nothing to say.
    if (none_of(rows, [](const Row &row) { return row.line != 0; }))
      return;
    MCStreamer &out = *printer.OutStreamer;
    out.switchSection(printer.OutContext.getELFSection(".wasm_offsets", ELF::SHT_PROGBITS, 0));
    for (const Row &row : rows) {
      out.emitAbsoluteSymbolDiff(row.label, text, 4);
      out.emitInt32(row.line);
    }
  }

private:
  struct Row {
    MCSymbol *label;
    unsigned line;
  };

  AsmPrinter &printer;
  MCSymbol *text = nullptr;
  SmallVector<Row, 0> rows;
  std::optional<unsigned> here;

  void begin(unsigned line) {
    if (here == line)
      return;
    here = line;
    MCSymbol *label = printer.OutContext.createTempSymbol();
    printer.OutStreamer->emitLabel(label);
    rows.push_back({label, line});
  }
};

/// Makes calls that are written with `swiftcc` what they are to be: calls in the convention `swifttailcc`. They are known by the register that the context is handed over in.
class WasmCalls final : public MachineFunctionPass {
public:
  static char ID;
  WasmCalls() : MachineFunctionPass(ID) {}

  StringRef getPassName() const override { return "wasmo: calls of wasm functions"; }

  void getAnalysisUsage(AnalysisUsage &usage) const override {
    usage.setPreservesAll();
    MachineFunctionPass::getAnalysisUsage(usage);
  }

  bool runOnMachineFunction(MachineFunction &function) override {
    const TargetRegisterInfo &registers = *function.getSubtarget().getRegisterInfo();
    const TargetInstrInfo &instructions = *function.getSubtarget().getInstrInfo();
    if (!context)
      context = find(registers, "R13");
    const uint32_t *written = registers.getCallPreservedMask(function, CallingConv::Swift);
    const uint32_t *meant = registers.getCallPreservedMask(function, CallingConv::SwiftTail);
    bool changed = false;
    for (MachineBasicBlock &block : function) {
      MachineInstr *begin = nullptr, *call = nullptr;
      for (MachineInstr &instruction : block) {
        if (instruction.getOpcode() == instructions.getCallFrameSetupOpcode()) {
          begin = &instruction;
          call = nullptr;
        } else if (instruction.isCall() && passes_context(instruction) && keep(instruction, written, meant)) {
          call = &instruction;
        } else if (instruction.getOpcode() == instructions.getCallFrameDestroyOpcode() && begin && call) {
          // What is called pops one word, which keeps the stack aligned with the return address.
          begin->getOperand(0).setImm(WORD);
          instruction.getOperand(0).setImm(WORD);
          instruction.getOperand(1).setImm(WORD);
          begin = call = nullptr;
          changed = true;
        }
      }
    }
    if (changed)
      function.getFrameInfo().computeMaxCallFrameSize(function);
    return changed;
  }

private:
  static constexpr int64_t WORD = 8;
  MCRegister context;

  static MCRegister find(const TargetRegisterInfo &registers, StringRef name) {
    for (unsigned reg = 1; reg < registers.getNumRegs(); ++reg)
      if (name == registers.getName(reg))
        return reg;
    report_fatal_error("the target has no register " + name);
  }

  bool passes_context(const MachineInstr &call) const {
    for (const MachineOperand &operand : call.implicit_operands())
      if (operand.isReg() && operand.isUse() && operand.getReg() == context)
        return true;
    return false;
  }

  /// Replaces the registers that `call` keeps; answers whether they were those that are `written`.
  static bool keep(MachineInstr &call, const uint32_t *written, const uint32_t *meant) {
    for (MachineOperand &operand : call.operands())
      if (operand.isRegMask() && operand.getRegMask() == written) {
        operand.setRegMask(meant);
        return true;
      }
    return false;
  }
};

char WasmCalls::ID = 0;

/// Makes each trap the instruction that says why: the reason is one less than the column of its location; 0 is none.
class Traps final : public MachineFunctionPass {
public:
  static char ID;
  Traps() : MachineFunctionPass(ID) {}

  StringRef getPassName() const override { return "wasmo: traps"; }

  void getAnalysisUsage(AnalysisUsage &usage) const override {
    usage.setPreservesAll();
    MachineFunctionPass::getAnalysisUsage(usage);
  }

  bool runOnMachineFunction(MachineFunction &function) override {
    const TargetInstrInfo &instructions = *function.getSubtarget().getInstrInfo();
    if (!explained) {
      plain = find(instructions, "TRAP");
      explained = find(instructions, "UBSAN_UD1");
    }
    bool changed = false;
    for (MachineBasicBlock &block : function)
      for (MachineInstr &instruction : make_early_inc_range(block)) {
        if (instruction.getOpcode() != plain)
          continue;
        const DebugLoc &location = instruction.getDebugLoc();
        if (!location || location.getCol() == 0)
          continue;
        BuildMI(block, instruction, location, instructions.get(explained)).addImm(location.getCol() - 1);
        instruction.eraseFromParent();
        changed = true;
      }
    return changed;
  }

private:
  unsigned plain = 0, explained = 0;

  static unsigned find(const TargetInstrInfo &instructions, StringRef name) {
    for (unsigned opcode = 0; opcode < instructions.getNumOpcodes(); ++opcode)
      if (name == instructions.getName(opcode))
        return opcode;
    report_fatal_error("the target has no instruction " + name);
  }
};

char Traps::ID = 0;

/// The passes of LLVM's code generator that are left out of code that is made soon. Together they take a third of the time that optimised code takes, and what they make of code that its producer has optimised
/// is not faster.
constexpr StringLiteral LEFT_OUT[] = {
    // What moves values out of loops, and between blocks: they live longer then, and the register allocator pays for that.
    "loop-reduce", "canon-freeze", "consthoist", "early-machinelicm", "machinelicm", "machine-sink", "postra-machine-sink",
    // An out-of-order processor does that itself.
    "machine-scheduler"};

/// Passes that have nothing to do, and still take time: one of them an eighth of all.
constexpr StringLiteral USELESS[] = {
    // Of C's memcmp, which no wasm code calls.
    "mergeicmps", "expand-memcmp",
    // No variable of a source language has a location.
    "livedebugvalues"};

/// Adds passes to a pass manager, but for those that are useless, or left out of what is wanted `soon`.
class Selection final : public legacy::PassManagerBase {
public:
  Selection(legacy::PassManager &passes, bool soon) : passes(passes), soon(soon) {}

  void add(Pass *pass) override {
    const PassInfo *info = Pass::lookupPassInfo(pass->getPassID());
    StringRef name = info ? info->getPassArgument() : "";
    if (is_contained(USELESS, name) || (soon && is_contained(LEFT_OUT, name)))
      delete pass;
    else
      passes.add(pass);
  }

private:
  legacy::PassManager &passes;
  bool soon;
};

/// The passes of `machine` that make an object file in `out`; false when it makes none. As LLVM's `addPassesToEmitFile` does, with ours added.
bool add_passes(CodeGenTargetMachineImpl &machine, legacy::PassManager &passes, raw_pwrite_stream &out) {
  auto *info = new MachineModuleInfoWrapperPass(&machine);
  // It outlives the configuration's use of it: passes are added here only.
  Selection selection(passes, machine.getOptLevel() < CodeGenOptLevel::Default);
  TargetPassConfig *config = machine.createPassConfig(selection);
  config->setDisableVerify(true);
  passes.add(config);
  passes.add(info);
  if (machine.getTargetTriple().getArch() == Triple::x86_64) {
    config->insertPass(&FinalizeISelID, new WasmCalls());
    config->insertPass(&FinalizeISelID, new Traps());
  }
  if (config->addISelPasses())
    return false;
  config->addMachinePasses();
  config->setInitialized();
  MCContext &context = info->getMMI().getContext();
  Expected<std::unique_ptr<MCStreamer>> streamer =
      machine.createMCStreamer(out, nullptr, CodeGenFileType::ObjectFile, context);
  if (!streamer) {
    consumeError(streamer.takeError());
    return false;
  }
  auto *printer = static_cast<AsmPrinter *>(machine.getTarget().createAsmPrinter(machine, std::move(*streamer)));
  if (!printer)
    return false;
  printer->addAsmPrinterHandler(std::make_unique<OperatorOffsets>(*printer));
  passes.add(printer);
  passes.add(createFreeMachineFunctionPass());
  return true;
}

} // namespace

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
  if (!add_passes(*static_cast<CodeGenTargetMachineImpl *>(target), emitter->passes, emitter->stream))
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
