//! SlabMemoryManager: where JITLink puts the code and constants of one session.
//!
//! All memory comes from one reservation ("the slab") of at most 2 GiB, so that any code in it reaches any other code and any constant with
//! a 32-bit displacement: objects of different modules, or of different partitions of one module, are linked without stubs.
//!
//! The slab has two zones, one for executable pages and one for all others. Neighbouring pages of one zone mostly have the same protection,
//! and the kernel keeps such neighbours as one mapping; thousands of small modules so need a handful of mappings and not thousands
//! (Linux allows 65,530 a process). Freed pages are given back to the system at once.
//!
//! Pages are never writable and executable at the same time.

#ifndef WASMO_SHIM_SLAB_H
#define WASMO_SHIM_SLAB_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ExecutionEngine/JITLink/JITLinkMemoryManager.h"
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

namespace wasmo {

/// A run of bytes inside the slab; empty when `size` is 0.
struct Run {
  uint64_t offset = 0;
  uint64_t size = 0;
};

/// The free runs of one zone, by offset. Neighbouring free runs are always joined. Not synchronised.
class FreeRuns {
public:
  FreeRuns(uint64_t offset, uint64_t size) { runs.emplace(offset, size); }

  /// Takes `size` bytes from the lowest run that is large enough; false when there is none.
  bool take(uint64_t size, Run &out);

  /// Gives a taken run back.
  void give(Run run);

private:
  std::map<uint64_t, uint64_t> runs;
};

class SlabMemoryManager final : public llvm::jitlink::JITLinkMemoryManager {
public:
  /// Reserves the slab, at the first of `places` that is free, or anywhere: 2 GiB, or less where the address space is limited; an error when not
  /// even 64 MiB can be had.
  static llvm::Expected<std::unique_ptr<SlabMemoryManager>> create(llvm::ArrayRef<uint64_t> places);

  ~SlabMemoryManager() override;

  void allocate(const llvm::jitlink::JITLinkDylib *, llvm::jitlink::LinkGraph &graph,
                OnAllocatedFunction done) override;
  using JITLinkMemoryManager::allocate;

  void deallocate(std::vector<FinalizedAlloc> allocations, OnDeallocatedFunction done) override;
  using JITLinkMemoryManager::deallocate;

private:
  class InFlight;

  /// What one linked object occupies.
  struct Allocation {
    Run code;
    Run data;
  };

  SlabMemoryManager(char *base, uint64_t size, uint64_t page);

  /// Takes pages from both zones, or from none.
  llvm::Error take(uint64_t code, uint64_t data, Allocation &out);

  /// Gives the pages back to the system and to the zones.
  llvm::Error give(const Allocation &allocation);

  char *const base;
  const uint64_t size;
  const uint64_t page;
  std::mutex mutex;
  FreeRuns code;
  FreeRuns data;
};

} // namespace wasmo

#endif
