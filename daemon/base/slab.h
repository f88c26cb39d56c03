// Slab<T>: objects of one type in the cells of a CellPool: recycled without malloc, and given back to the system by sweep()
// when a peak is over. One per worker, single thread; outlives its objects.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>

#include "base/assert.h"
#include "base/cell_pool.h"

namespace sluice {

template <typename T>
class Slab {
 public:
  Slab() = default;
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;
  ~Slab() { SL_ASSERT(live_ == 0); }

  struct Deleter {
    Slab* slab;
    void operator()(T* object) const { slab->reclaim(object); }
  };
  using Pointer = std::unique_ptr<T, Deleter>;

  template <typename... Args>
  [[nodiscard]] Pointer make(Args&&... args) {
    T* object = new (cells_.take()) T(std::forward<Args>(args)...);
    ++live_;
    return Pointer(object, Deleter{this});
  }
  /// Destroys an object whose Pointer was released.
  void reclaim(T* object) {
    object->~T();
    --live_;
    cells_.give_back(object);
  }
  /// See CellPool::sweep.
  void sweep(MonoTime now, size_t& budget) { cells_.sweep(now, budget); }

  [[nodiscard]] size_t live() const { return live_; }

 private:
  CellPool cells_{sizeof(T), alignof(T)};
  size_t live_ = 0;
};

}  // namespace sluice
