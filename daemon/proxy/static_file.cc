#include "proxy/static_file.h"

#include <sys/stat.h>

#include <charconv>
#include <cstring>

#include "base/assert.h"
#include "base/clock.h"
#include "proxy/mime.h"
#include "proxy/static_file_conditions.h"
#include "proxy/static_file_open.h"

namespace sluice::proxy {

namespace {

StaticAnswer refuse(Reason reason) {
  StaticAnswer answer;
  answer.status = row(reason).status;
  answer.reason = reason;
  return answer;
}

StaticAnswer redirect_to_folder(std::string_view relative_path) {
  StaticAnswer answer;
  answer.status = 308;
  answer.slash_segment = relative_path.substr(relative_path.rfind('/') + 1);
  return answer;
}

// Strong (RFC 9110 §8.8.1): other bytes must never have the same tag. Time and size alone are not enough:
// files out of a reproducible build share their time, and a release may keep a size. So the inode counts too,
// and two gateways that serve copies of a file give it different tags.
void set_etag(StaticAnswer& answer, const struct stat& status) {
  answer.etag.append("\"");
  answer.etag.append_number(
      static_cast<uint64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(status.st_mtim.tv_nsec), 16);
  answer.etag.append("-");
  answer.etag.append_number(static_cast<uint64_t>(status.st_size), 16);
  answer.etag.append("-");
  answer.etag.append_number(status.st_ino, 16);
  answer.etag.append("\"");
}

// A time in the future would make caches keep the file for good: RFC 9110 §8.8.2.1 forbids sending it.
std::optional<int64_t> set_last_modified(StaticAnswer& answer, const struct stat& status) {
  const int64_t seconds = status.st_mtim.tv_sec;
  if (seconds < 0 || Seconds(seconds) > wall_now()) return std::nullopt;
  char date[29];
  http::write_http_date(seconds, date);
  answer.last_modified.append({date, sizeof(date)});
  return seconds;
}

void set_content_range(StaticAnswer& answer, uint64_t size) {
  answer.content_range.append("bytes ");
  if (answer.status == 416) {
    answer.content_range.append("*");
  } else {
    answer.content_range.append_number(answer.offset);
    answer.content_range.append("-");
    answer.content_range.append_number(answer.offset + answer.length - 1);
  }
  answer.content_range.append("/");
  answer.content_range.append_number(size);
}

StaticAnswer answer_file(UniqueFd file, const struct stat& status, std::string_view path, http::Method method,
                         const http::HeaderMap& headers) {
  StaticAnswer answer;
  const auto size = static_cast<uint64_t>(status.st_size);
  set_etag(answer, status);
  const Validators current{answer.etag.view(), set_last_modified(answer, status)};
  const Condition condition = evaluate_conditions(headers, current);
  if (condition != Condition::proceed) {
    answer.status = condition == Condition::failed ? 412 : 304;
    return answer;
  }
  const RangeChoice range = method == http::Method::GET ? choose_range(headers, current, size) : RangeChoice{};
  if (range.kind == RangeChoice::Kind::unsatisfiable) {
    answer = refuse(Reason::range_not_satisfiable);
    set_content_range(answer, size);
    return answer;
  }
  const bool whole = range.kind == RangeChoice::Kind::whole;
  answer.status = whole ? 200 : 206;
  answer.offset = range.offset;
  answer.length = whole ? size : range.length;
  answer.content_type = mime_type_of(path);
  if (!whole) set_content_range(answer, size);
  if (method == http::Method::GET) answer.file = std::move(file);
  return answer;
}

StaticAnswer answer_path(const snapshot::StaticSpec& spec, std::string_view relative_path, http::Method method,
                         const http::HeaderMap& headers) {
  StaticPath path;
  if (const auto decoded = decode_static_path(relative_path, spec.index, path); !decoded) {
    return refuse(decoded.error().reason);
  }
  auto file = open_beneath(*spec.root_fd, path);
  if (!file) return refuse(file.error().reason);
  struct stat status {};
  if (fstat(file->get(), &status) != 0) return refuse(Reason::internal_error);
  if (S_ISREG(status.st_mode)) return answer_file(*std::move(file), status, path.view(), method, headers);
  if (!S_ISDIR(status.st_mode)) return refuse(Reason::file_forbidden);
  // A folder whose path ended in a slash came here with its index appended: without an index, or where that
  // is a folder.
  const bool has_slash = relative_path.empty() || relative_path.back() == '/';
  return has_slash ? refuse(Reason::file_not_found) : redirect_to_folder(relative_path);
}

}  // namespace

void ShortText::append(std::string_view text) {
  SL_ASSERT(size_ + text.size() <= sizeof(bytes_));
  std::memcpy(bytes_ + size_, text.data(), text.size());
  size_ = static_cast<uint8_t>(size_ + text.size());
}

void ShortText::append_number(uint64_t value, int radix) {
  const auto written = std::to_chars(bytes_ + size_, bytes_ + sizeof(bytes_), value, radix);
  SL_ASSERT(written.ec == std::errc());
  size_ = static_cast<uint8_t>(written.ptr - bytes_);
}

void StaticAnswer::write_fields(http::HeadWriter& head, std::string_view query) const {
  const auto field = [&head](std::string_view name, std::string_view value) {
    if (!value.empty()) head.field(name, value);
  };
  field("Content-Type", content_type);
  if (!content_type.empty()) head.field("X-Content-Type-Options", std::string_view("nosniff"));
  field("ETag", etag.view());
  field("Last-Modified", last_modified.view());
  field("Content-Range", content_range.view());
  if (status == 200 || status == 206 || status == 416) head.field("Accept-Ranges", std::string_view("bytes"));
  field("Allow", allow);
  if (slash_segment.empty()) return;
  // Relative to the request's URL: right whatever prefix was stripped, and no way to another host
  // ("//evil.example").
  head.text("Location: ./");
  head.text(slash_segment);
  head.text("/");
  if (!query.empty()) {
    head.text("?");
    head.text(query);
  }
  head.text("\r\n");
}

StaticAnswer open_static(const snapshot::StaticSpec& spec, std::string_view relative_path, http::Method method,
                         const http::HeaderMap& headers) {
  StaticAnswer answer;
  if (method == http::Method::GET || method == http::Method::HEAD) {
    answer = answer_path(spec, relative_path, method, headers);
  } else {
    answer = refuse(Reason::method_not_allowed);
    answer.allow = "GET, HEAD";
  }
  answer.head_only = method == http::Method::HEAD;
  return answer;
}

}  // namespace sluice::proxy
