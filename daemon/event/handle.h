// Owned<H>: sole ownership of a libuv handle. libuv needs the memory until its close callback ran, so the
// handle lives in a heap block of its own: the deleter clears `data` (no callback can reach a dead owner),
// starts uv_close, and frees the block in the close callback.
#pragma once

#include <uv.h>

#include <memory>

#include "base/assert.h"

namespace sluice::event {

template <typename H>
struct HandleCloser {
  void operator()(H* handle) const {
    auto* base = reinterpret_cast<uv_handle_t*>(handle);
    SL_ASSERT(!uv_is_closing(base));
    base->data = nullptr;
    uv_close(base, [](uv_handle_t* closed) { delete reinterpret_cast<H*>(closed); });
  }
};

/// The handle must have been initialised with its uv_*_init before it is put in here.
template <typename H>
using Owned = std::unique_ptr<H, HandleCloser<H>>;

}  // namespace sluice::event
