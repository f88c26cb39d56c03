#include "base/arena.h"

namespace sluice {

void Arena::grow(size_t bytes) {
  const Block block = pool_->take(bytes + sizeof(Header));
  new (block.data) Header{block_, static_cast<uint32_t>(limit_), block.bytes};
  block_ = block.data;
  used_ = sizeof(Header);
  limit_ = block.bytes;
}

void Arena::reset() {
  while (block_ != nullptr) {
    const Header header = *std::launder(reinterpret_cast<Header*>(block_));
    pool_->give_back({block_, header.bytes});
    block_ = header.previous;
    limit_ = header.previous_bytes;
  }
  used_ = limit_ = 0;
}

}  // namespace sluice
