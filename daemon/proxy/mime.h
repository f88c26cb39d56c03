// Content-Type by file name, from one table of rows. Only what a browser shows or runs, and what is often
// downloaded, has a row; everything else is application/octet-stream, which no browser interprets (with
// X-Content-Type-Options: nosniff).
#pragma once

#include <string_view>

namespace sluice::proxy {

/// The media type for a path or file name by its last extension, in any case. Static storage.
std::string_view mime_type_of(std::string_view path);

}  // namespace sluice::proxy
