// CellPool: memory for things of one size. Cells are cut from chunks that come straight from the kernel and go back to it,
// so malloc has no part in it. A cell is always taken from the first chunk that has one: what a peak needed on top lies in
// the later chunks, and these run empty after it. sweep(), called about once a second, gives back the chunks that nothing
// was taken from for kKeep. Under Slab and BlockPool; single thread; outlives what was taken from it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/clock.h"

namespace sluice {

class CellPool {
 public:
  /// What the last ten seconds needed stays; peaks further apart than that pay for their pages again.
  static constexpr Micros kKeep = Seconds(10);

  /// Cells are aligned to `alignment`, a power of two of at most 64.
  explicit CellPool(size_t cell_bytes, size_t alignment = alignof(std::max_align_t));
  ~CellPool();
  CellPool(const CellPool&) = delete;
  CellPool& operator=(const CellPool&) = delete;

  /// Uninitialised memory of one cell.
  [[nodiscard]] void* take() {
    Cell* cell = room_->free;
    if (cell == nullptr) return take_slowly();
    room_->free = cell->next;
    ++room_->lent;
    return cell;
  }
  void give_back(void* memory) {
    Chunk& chunk = *reinterpret_cast<Chunk*>(reinterpret_cast<uintptr_t>(memory) & ~(chunk_bytes_ - 1));
    auto* cell = static_cast<Cell*>(memory);
    cell->next = chunk.free;
    chunk.free = cell;
    --chunk.lent;
    if (!chunk.listed) list(chunk);
  }
  /// Gives back `budget` chunks at most, and takes what it gave back off that: at 0 there may be more to do, soon. Otherwise
  /// to be called once a second or so.
  void sweep(MonoTime now, size_t& budget);

  [[nodiscard]] size_t chunks() const { return mapped_; }
  [[nodiscard]] size_t cells_per_chunk() const { return cells_per_chunk_; }

 private:
  struct Cell {
    Cell* next;
  };
  // At the start of each chunk, whose address is a multiple of its size: so a cell's address tells its chunk.
  struct alignas(64) Chunk {
    Cell* free = nullptr;  // given back; those never taken yet lie behind `cut`, so that their pages stay untouched
    uint32_t lent = 0;
    uint32_t cut = 0;
    uint32_t index = UINT32_MAX;
    bool listed = false;  // its bit in listed_ is set
    bool used = false;    // taken from since the last sweep
    MonoTime idle_since{};
  };

  void* take_slowly();
  void use(Chunk& chunk);
  void list(Chunk& chunk);
  void unlist(Chunk& chunk);
  [[nodiscard]] Chunk* first_listed();
  Chunk& add_chunk();
  void release(Chunk& chunk);
  [[nodiscard]] static bool is_surplus(Chunk& chunk, MonoTime now);

  size_t cell_bytes_;
  size_t chunk_bytes_;
  uint32_t cells_per_chunk_;
  Chunk none_;
  Chunk* room_ = &none_;          // cells are taken from here: the first listed chunk, or none_
  std::vector<Chunk*> chunks_;    // by index; nullptr where one was given back
  std::vector<uint64_t> listed_;  // a bit for each index: may have a cell
  size_t mapped_ = 0;
};

}  // namespace sluice
