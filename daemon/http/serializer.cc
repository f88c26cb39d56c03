#include "http/serializer.h"

#include <charconv>

namespace sluice::http {

void HeadWriter::field(std::string_view name, uint64_t value) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  field(name, std::string_view(digits, static_cast<size_t>(end - digits)));
}

void HeadWriter::status_line(uint16_t status, std::string_view phrase) {
  char line[] = "HTTP/1.1 000 ";
  line[9] = static_cast<char>('0' + status / 100 % 10);
  line[10] = static_cast<char>('0' + status / 10 % 10);
  line[11] = static_cast<char>('0' + status % 10);
  text({line, sizeof line - 1});
  text(phrase);
  text("\r\n");
}

void HeadWriter::request_line(std::string_view method, std::string_view path, std::string_view query, bool has_query) {
  text(method);
  text(" ");
  text(path);
  if (has_query) {
    text("?");
    text(query);
  }
  text(" HTTP/1.1\r\n");
}

}  // namespace sluice::http
