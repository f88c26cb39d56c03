#include "base/cell_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <new>

#include "base/assert.h"

namespace sluice {

namespace {

// Small chunks empty out sooner, large ones need fewer system calls.
constexpr size_t kCellsWanted = 16;
constexpr size_t kSmallestChunk = 16 * 1024;
constexpr size_t kLargestChunk = 64 * 1024;  // unless one cell is larger

size_t rounded_up(size_t bytes, size_t to) { return (bytes + to - 1) & ~(to - 1); }

char* map(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  SL_ASSERT(memory != MAP_FAILED);  // out of memory aborts, by design
  return static_cast<char*>(memory);
}

void unmap(char* memory, size_t bytes) {
  if (bytes > 0) SL_ASSERT(munmap(memory, bytes) == 0);
}

// `bytes`, a power of two, at a multiple of it. The kernel puts mappings side by side, so mostly the first try fits.
char* map_aligned(size_t bytes) {
  char* memory = map(bytes);
  if (reinterpret_cast<uintptr_t>(memory) % bytes == 0) return memory;
  unmap(memory, bytes);
  memory = map(2 * bytes);
  const size_t before = rounded_up(reinterpret_cast<uintptr_t>(memory), bytes) - reinterpret_cast<uintptr_t>(memory);
  unmap(memory, before);
  unmap(memory + before + bytes, bytes - before);
  return memory + before;
}

}  // namespace

CellPool::CellPool(size_t cell_bytes, size_t alignment)
    : cell_bytes_(rounded_up(std::max(cell_bytes, sizeof(Cell)), std::max(alignment, alignof(Cell)))) {
  SL_ASSERT(alignment <= sizeof(Chunk));
  const size_t wanted = std::clamp(kCellsWanted * cell_bytes_, kSmallestChunk, kLargestChunk);
  chunk_bytes_ = std::bit_ceil(std::max(wanted, sizeof(Chunk) + cell_bytes_));
  cells_per_chunk_ = static_cast<uint32_t>((chunk_bytes_ - sizeof(Chunk)) / cell_bytes_);
}

CellPool::~CellPool() {
  for (Chunk* chunk : chunks_) {
    if (chunk == nullptr) continue;
    SL_ASSERT(chunk->lent == 0);
    unmap(reinterpret_cast<char*>(chunk), chunk_bytes_);
  }
}

void* CellPool::take_slowly() {
  for (;;) {
    if (room_->free != nullptr) return take();
    if (room_ != &none_ && room_->cut < cells_per_chunk_) {
      ++room_->lent;
      return reinterpret_cast<char*>(room_) + sizeof(Chunk) + cell_bytes_ * room_->cut++;
    }
    if (room_ != &none_) unlist(*room_);
    Chunk* next = first_listed();
    use(next != nullptr ? *next : add_chunk());
  }
}

void CellPool::use(Chunk& chunk) {
  room_ = &chunk;
  chunk.used = true;
}

void CellPool::list(Chunk& chunk) {
  chunk.listed = true;
  listed_[chunk.index / 64] |= uint64_t{1} << chunk.index % 64;
  if (chunk.index < room_->index) use(chunk);
}

void CellPool::unlist(Chunk& chunk) {
  chunk.listed = false;
  listed_[chunk.index / 64] &= ~(uint64_t{1} << chunk.index % 64);
}

CellPool::Chunk* CellPool::first_listed() {
  for (size_t i = 0; i < listed_.size(); ++i) {
    if (listed_[i] != 0) return chunks_[i * 64 + static_cast<size_t>(std::countr_zero(listed_[i]))];
  }
  return nullptr;
}

CellPool::Chunk& CellPool::add_chunk() {
  auto place = chunks_.end();
  if (mapped_ < chunks_.size()) place = std::find(chunks_.begin(), chunks_.end(), nullptr);
  if (place == chunks_.end()) place = chunks_.insert(place, nullptr);
  auto* chunk = new (map_aligned(chunk_bytes_)) Chunk;
  *place = chunk;
  ++mapped_;
  chunk->index = static_cast<uint32_t>(place - chunks_.begin());
  listed_.resize((chunks_.size() + 63) / 64);
  list(*chunk);
  return *chunk;
}

void CellPool::sweep(MonoTime now, size_t& budget) {
  // Whether an empty chunk is still wanted shows when the next cell is taken: that has to look for it.
  if (room_->lent == 0) room_ = &none_;
  for (size_t i = chunks_.size(); i-- > 0;) {
    if (chunks_[i] == nullptr || !is_surplus(*chunks_[i], now) || budget == 0) continue;
    release(*chunks_[i]);
    --budget;
  }
  while (!chunks_.empty() && chunks_.back() == nullptr) chunks_.pop_back();
}

bool CellPool::is_surplus(Chunk& chunk, MonoTime now) {
  if (chunk.lent > 0 || chunk.used) {
    chunk.used = false;
    chunk.idle_since = now;
  }
  return now - chunk.idle_since >= kKeep;
}

void CellPool::release(Chunk& chunk) {
  unlist(chunk);
  chunks_[chunk.index] = nullptr;
  --mapped_;
  unmap(reinterpret_cast<char*>(&chunk), chunk_bytes_);
}

}  // namespace sluice
