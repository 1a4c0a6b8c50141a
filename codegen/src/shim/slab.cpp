//! Implementation of SlabMemoryManager; see slab.h.

#include "slab.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ExecutionEngine/JITLink/JITLink.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/Memory.h"
#include "llvm/Support/Process.h"
#include <cerrno>
#include <cstring>
#include <sys/mman.h>

using namespace llvm;
using namespace llvm::jitlink;

namespace wasmo {

namespace {

constexpr uint64_t largest_slab = uint64_t(2) << 30;
constexpr uint64_t smallest_slab = uint64_t(64) << 20;

Error system_error(const char *what) {
  return createStringError(std::error_code(errno, std::generic_category()), "%s: %s", what, std::strerror(errno));
}

int protection(orc::MemProt prot) {
  int flags = PROT_NONE;
  if ((prot & orc::MemProt::Read) != orc::MemProt::None)
    flags |= PROT_READ;
  if ((prot & orc::MemProt::Write) != orc::MemProt::None)
    flags |= PROT_WRITE;
  if ((prot & orc::MemProt::Exec) != orc::MemProt::None)
    flags |= PROT_EXEC;
  return flags;
}

bool executable(orc::AllocGroup group) {
  return (group.getMemProt() & orc::MemProt::Exec) != orc::MemProt::None;
}

} // namespace

bool FreeRuns::take(uint64_t size, Run &out) {
  for (auto run = runs.begin(); run != runs.end(); ++run) {
    if (run->second < size)
      continue;
    out = {run->first, size};
    uint64_t rest = run->second - size;
    runs.erase(run);
    if (rest != 0)
      runs.emplace(out.offset + size, rest);
    return true;
  }
  return false;
}

void FreeRuns::give(Run run) {
  auto next = runs.lower_bound(run.offset);
  if (next != runs.end() && run.offset + run.size == next->first) {
    run.size += next->second;
    next = runs.erase(next);
  }
  if (next != runs.begin()) {
    auto previous = std::prev(next);
    if (previous->first + previous->second == run.offset) {
      previous->second += run.size;
      return;
    }
  }
  runs.emplace(run.offset, run.size);
}

/// Pages that are being filled: writable where they lie, and not yet executable.
class SlabMemoryManager::InFlight final : public JITLinkMemoryManager::InFlightAlloc {
public:
  struct Part {
    char *start;
    uint64_t size;
    orc::AllocGroup group;
  };

  InFlight(SlabMemoryManager &owner, LinkGraph &graph, Allocation allocation, std::vector<Part> parts)
      : owner(owner), graph(graph), allocation(allocation), parts(std::move(parts)) {}

  void abandon(OnAbandonedFunction done) override { done(owner.give(allocation)); }

  void finalize(OnFinalizedFunction done) override {
    if (Error error = protect()) {
      done(joinErrors(std::move(error), owner.give(allocation)));
      return;
    }
    done(FinalizedAlloc(orc::ExecutorAddr::fromPtr(new Allocation(allocation))));
  }

private:
  Error protect() {
    if (!graph.allocActions().empty())
      return createStringError(inconvertibleErrorCode(), "a link graph has allocation actions, which wasmo does not run");
    for (const Part &part : parts) {
      if (mprotect(part.start, part.size, protection(part.group.getMemProt())) != 0)
        return system_error("protecting code pages");
      if (executable(part.group))
        sys::Memory::InvalidateInstructionCache(part.start, part.size);
    }
    return Error::success();
  }

  SlabMemoryManager &owner;
  LinkGraph &graph;
  Allocation allocation;
  std::vector<Part> parts;
};

Expected<std::unique_ptr<SlabMemoryManager>> SlabMemoryManager::create(ArrayRef<uint64_t> places) {
  auto page = sys::Process::getPageSize();
  if (!page)
    return page.takeError();
  constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  for (uint64_t size = largest_slab; size >= smallest_slab; size /= 2) {
    void *base = MAP_FAILED;
    // Systems older than the flag take a place for a wish.
    for (uint64_t place : places)
      if (base == MAP_FAILED)
        base = mmap(reinterpret_cast<void *>(place), size, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1, 0);
    if (base == MAP_FAILED)
      base = mmap(nullptr, size, PROT_NONE, flags, -1, 0);
    if (base != MAP_FAILED)
      return std::unique_ptr<SlabMemoryManager>(new SlabMemoryManager(static_cast<char *>(base), size, *page));
  }
  return system_error("reserving address space for code");
}

// A function spans at most the whole code zone, and constants are fewer than code: the zones divide the slab 3 : 1.
SlabMemoryManager::SlabMemoryManager(char *base, uint64_t size, uint64_t page)
    : base(base), size(size), page(page), code(0, size / 4 * 3), data(size / 4 * 3, size / 4) {}

SlabMemoryManager::~SlabMemoryManager() { munmap(base, size); }

Error SlabMemoryManager::take(uint64_t code_size, uint64_t data_size, Allocation &out) {
  std::lock_guard<std::mutex> lock(mutex);
  Run code_run, data_run;
  bool taken = code_size == 0 || code.take(code_size, code_run);
  if (taken && data_size != 0 && !data.take(data_size, data_run)) {
    if (code_size != 0)
      code.give(code_run);
    taken = false;
  }
  if (!taken)
    return createStringError(std::errc::not_enough_memory, "no room for %llu bytes of code and %llu bytes of constants",
                             static_cast<unsigned long long>(code_size), static_cast<unsigned long long>(data_size));
  out = {code_run, data_run};
  return Error::success();
}

Error SlabMemoryManager::give(const Allocation &allocation) {
  Error error = Error::success();
  for (auto [run, zone] : {std::pair(allocation.code, &code), std::pair(allocation.data, &data)}) {
    if (run.size == 0)
      continue;
    // Mapped anew, the pages are free, without access, zero when they are used again, and one mapping with their free neighbours.
    void *fresh = mmap(base + run.offset, run.size, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    if (fresh == MAP_FAILED) {
      // The run is lost to the zone, since nothing is known of its pages.
      error = joinErrors(std::move(error), system_error("freeing code pages"));
      continue;
    }
    std::lock_guard<std::mutex> lock(mutex);
    zone->give(run);
  }
  return error;
}

void SlabMemoryManager::allocate(const JITLinkDylib *, LinkGraph &graph, OnAllocatedFunction done) {
  BasicLayout layout(graph);
  uint64_t code_size = 0, data_size = 0;
  for (auto &[group, segment] : layout.segments()) {
    if (segment.Alignment.value() > page) {
      done(createStringError(inconvertibleErrorCode(), "a section is aligned beyond the page size"));
      return;
    }
    (executable(group) ? code_size : data_size) += alignTo(segment.ContentSize + segment.ZeroFillSize, page);
  }
  Allocation allocation;
  if (Error error = take(code_size, data_size, allocation)) {
    done(std::move(error));
    return;
  }
  for (Run run : {allocation.code, allocation.data}) {
    if (run.size != 0 && mprotect(base + run.offset, run.size, PROT_READ | PROT_WRITE) != 0) {
      Error error = system_error("making code pages writable");
      done(joinErrors(std::move(error), give(allocation)));
      return;
    }
  }
  char *next_code = base + allocation.code.offset;
  char *next_data = base + allocation.data.offset;
  std::vector<InFlight::Part> parts;
  for (auto &[group, segment] : layout.segments()) {
    uint64_t bytes = alignTo(segment.ContentSize + segment.ZeroFillSize, page);
    char *&next = executable(group) ? next_code : next_data;
    segment.Addr = orc::ExecutorAddr::fromPtr(next);
    segment.WorkingMem = next;
    if (bytes != 0)
      parts.push_back({next, bytes, group});
    next += bytes;
  }
  if (Error error = layout.apply()) {
    done(joinErrors(std::move(error), give(allocation)));
    return;
  }
  done(std::make_unique<InFlight>(*this, graph, allocation, std::move(parts)));
}

void SlabMemoryManager::deallocate(std::vector<FinalizedAlloc> allocations, OnDeallocatedFunction done) {
  Error error = Error::success();
  for (FinalizedAlloc &finalized : llvm::reverse(allocations)) {
    std::unique_ptr<Allocation> allocation(finalized.release().toPtr<Allocation *>());
    error = joinErrors(std::move(error), give(*allocation));
  }
  done(std::move(error));
}

} // namespace wasmo
