// What both kinds of session need of nghttp2: ownership of its objects. This folder alone includes its headers.
#pragma once

#include <nghttp2/nghttp2.h>

#include <memory>

namespace sluice::http2 {

struct Deleter {
  void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
  void operator()(nghttp2_session_callbacks* callbacks) const { nghttp2_session_callbacks_del(callbacks); }
  void operator()(nghttp2_option* option) const { nghttp2_option_del(option); }
};
using SessionPtr = std::unique_ptr<nghttp2_session, Deleter>;
using CallbacksPtr = std::unique_ptr<nghttp2_session_callbacks, Deleter>;
using OptionPtr = std::unique_ptr<nghttp2_option, Deleter>;

}  // namespace sluice::http2
