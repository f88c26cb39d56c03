#include "base/buffer.h"

namespace sluice {

void Buffer::append(std::string_view bytes) {
  if (bytes.empty()) return;
  if (block_.data == nullptr || block_.bytes - end_ < bytes.size()) make_room(bytes.size());
  std::memcpy(block_.data + end_, bytes.data(), bytes.size());
  end_ += static_cast<uint32_t>(bytes.size());
}

void Buffer::make_room(size_t bytes) {
  const size_t held = size();
  SL_ASSERT(held + bytes <= kMaxBytes);
  if (block_.data != nullptr && held + bytes <= block_.bytes) {
    std::memmove(block_.data, block_.data + begin_, held);
  } else {
    const Block larger = pool_->take(held + bytes);
    if (held > 0) std::memcpy(larger.data, block_.data + begin_, held);
    if (block_.data != nullptr) pool_->give_back(block_);
    block_ = larger;
  }
  begin_ = 0;
  end_ = static_cast<uint32_t>(held);
}

}  // namespace sluice
