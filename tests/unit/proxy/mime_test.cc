#include "proxy/mime.h"

#include <catch2/catch.hpp>

namespace sluice::proxy {

TEST_CASE("The last extension, in any case, decides the media type") {
  const struct {
    const char* path;
    const char* type;
  } rows[] = {
      {"index.html", "text/html; charset=utf-8"},
      {"a/b/Photo.JPeG", "image/jpeg"},
      {"app.min.js", "text/javascript; charset=utf-8"},
      {"module.mjs", "text/javascript; charset=utf-8"},
      {"data.json", "application/json"},
      {"a.7z", "application/x-7z-compressed"},  // first and last rows of the table
      {"a.zst", "application/zstd"},
      {"backup.tar.gz", "application/gzip"},
      {"page.html.bak", "application/octet-stream"},
      {"README", "application/octet-stream"},
      {"v1.html/README", "application/octet-stream"},
      {"ends-in-dot.", "application/octet-stream"},
      {"", "application/octet-stream"},
      {"a.htmlx", "application/octet-stream"},
      {"a.extension-longer-than-any", "application/octet-stream"},
  };
  for (const auto& row : rows) {
    INFO(row.path);
    CHECK(mime_type_of(row.path) == row.type);
  }
}

}  // namespace sluice::proxy
