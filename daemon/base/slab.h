// Slab<T>: objects of one type, recycled through a free list and given back to the system past a small reserve, so that a
// peak of connections does not stay in memory. One per worker, single thread; outlives its objects.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>

#include "base/assert.h"

namespace sluice {

template <typename T>
class Slab {
 public:
  explicit Slab(size_t keep = 256) : keep_(keep) {}
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;
  ~Slab() {
    SL_ASSERT(live_ == 0);
    while (free_ != nullptr) ::operator delete (std::exchange(free_, free_->next), std::align_val_t{alignof(Cell)});
  }

  struct Deleter {
    Slab* slab;
    void operator()(T* object) const { slab->reclaim(object); }
  };
  using Pointer = std::unique_ptr<T, Deleter>;

  template <typename... Args>
  [[nodiscard]] Pointer make(Args&&... args) {
    void* memory = free_;
    if (memory != nullptr) {
      free_ = free_->next;
      --spare_;
    } else {
      memory = ::operator new (sizeof(Cell), std::align_val_t{alignof(Cell)});
    }
    ++live_;
    return Pointer(new (memory) T(std::forward<Args>(args)...), Deleter{this});
  }
  /// Destroys an object whose Pointer was released.
  void reclaim(T* object) {
    object->~T();
    --live_;
    auto* cell = reinterpret_cast<Cell*>(object);
    if (spare_ >= keep_) {
      ::operator delete (cell, std::align_val_t{alignof(Cell)});
      return;
    }
    cell->next = free_;
    free_ = cell;
    ++spare_;
  }
  [[nodiscard]] size_t live() const { return live_; }

 private:
  union Cell {
    Cell* next;
    alignas(T) char object[sizeof(T)];
  };

  Cell* free_ = nullptr;
  size_t spare_ = 0;
  size_t keep_;
  size_t live_ = 0;
};

}  // namespace sluice
