// Generation: a publication as one worker adopted it, with the clusters that its indices lead to. The Engine holds the
// current one; a request holds the one that it began with until it ends, so that nothing changes under it. Clusters whose
// definition did not change belong to both the old generation and the new one. Worker thread only: the count of holders is
// a plain number.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "filter/worker_instance.h"
#include "proxy/publication.h"
#include "upstream/cluster.h"

namespace sluice::proxy {

class Engine;

struct Generation {
  Engine& engine;
  std::shared_ptr<const Publication> publication;
  std::vector<std::shared_ptr<upstream::Cluster>> clusters;      // by the snapshot's index
  std::vector<std::shared_ptr<store::Store>> stores;             // likewise
  std::vector<std::shared_ptr<filter::WorkerInstance>> plugins;  // likewise; they use the stores
  uint32_t holders = 0;

  [[nodiscard]] const snapshot::Snapshot& snapshot() const { return *publication->snapshot; }
  [[nodiscard]] const Series& series() const { return publication->series; }
  /// nullptr if this snapshot has the listener no more.
  [[nodiscard]] const snapshot::ListenerSpec* listener(ListenerSlot slot) const {
    const uint32_t index =
        slot < publication->listener_of_slot.size() ? publication->listener_of_slot[slot] : Publication::kNone;
    return index == Publication::kNone ? nullptr : &snapshot().listeners[index];
  }
};

/// One hold on a generation; the last one frees it.
class GenerationRef {
 public:
  GenerationRef() = default;
  explicit GenerationRef(Generation& generation) : generation_(&generation) { ++generation.holders; }
  GenerationRef(const GenerationRef& other) : generation_(other.generation_) {
    if (generation_ != nullptr) ++generation_->holders;
  }
  GenerationRef(GenerationRef&& other) noexcept : generation_(std::exchange(other.generation_, nullptr)) {}
  GenerationRef& operator=(GenerationRef other) noexcept {
    std::swap(generation_, other.generation_);
    return *this;
  }
  ~GenerationRef() { let_go(); }

  void let_go();
  explicit operator bool() const { return generation_ != nullptr; }
  Generation& operator*() const { return *generation_; }
  Generation* operator->() const { return generation_; }

 private:
  Generation* generation_ = nullptr;
};

}  // namespace sluice::proxy
