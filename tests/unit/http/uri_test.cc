#include "http/uri.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace sluice;
using namespace sluice::http;

namespace {

/// The normal form, or the refusal's name in angle brackets.
std::string normal(const std::string& path, bool allow_encoded_slash = false) {
  std::vector<char> scratch(path.size());
  const auto result = normalise_path(path, scratch, allow_encoded_slash);
  if (!result) return "<" + std::string(name(result.error().reason)) + ">";
  const std::string text(*result);
  if (text == path) CHECK(result->data() == path.data());  // no copy of what was normal already
  std::vector<char> again(text.size());
  CHECK(*normalise_path(text, again, allow_encoded_slash) == text);
  return text;
}

}  // namespace

TEST_CASE("a target is a path with a query, an http URL, or '*' for OPTIONS") {
  struct Row {
    std::string target;
    std::string path;
    std::string query;
    bool has_query;
    std::string authority;
  };
  const Row rows[] = {
      {"/", "/", "", false, ""},
      {"/a/b", "/a/b", "", false, ""},
      {"/a?b=c", "/a", "b=c", true, ""},
      {"/a?", "/a", "", true, ""},
      {"/a??b?", "/a", "?b?", true, ""},
      {"/a//b/./..", "/a//b/./..", "", false, ""},        // as received: normalise_path() comes later
      {"//a.example/b", "//a.example/b", "", false, ""},  // a path with an empty segment, no authority
      {"/:@!$&'()*+,;=-._~%20", "/:@!$&'()*+,;=-._~%20", "", false, ""},
      {"/a[0]|b^c", "/a[0]|b^c", "", false, ""},       // browsers send these as they are
      {"/a?f[x]={\"", "", "", false, "<bad_target>"},  // but not the quote
      {"/a?f[x]={1}|`\\^", "/a", "f[x]={1}|`\\^", true, ""},
      {"/a?/:@?%zz", "/a", "/:@?%zz", true, ""},  // escapes in a query are the upstream's
      {"http://a.example", "/", "", false, "a.example"},
      {"HTTP://a.example/", "/", "", false, "a.example"},
      {"https://a.example:8443/b?c", "/b", "c", true, "a.example:8443"},
      {"http://a.example?c", "/", "c", true, "a.example"},
      {"http://[::1]:80/b", "/b", "", false, "[::1]:80"},
      {"", "", "", false, "<bad_target>"},
      {"a", "", "", false, "<bad_target>"},
      {"*", "", "", false, "<bad_target>"},
      {"?a", "", "", false, "<bad_target>"},
      {"#a", "", "", false, "<bad_target>"},
      {"/a#b", "", "", false, "<bad_target>"},  // a fragment is never sent
      {"/a?b#c", "", "", false, "<bad_target>"},
      {"/a b", "", "", false, "<bad_target>"},
      {"/a\tb", "", "", false, "<bad_target>"},
      {"/a\x7f", "", "", false, "<bad_target>"},
      {"/caf\xc3\xa9", "", "", false, "<bad_target>"},
      {"/a?caf\xc3\xa9", "", "", false, "<bad_target>"},
      {"/a\\b", "", "", false, "<bad_target>"},
      {"/a\"b", "", "", false, "<bad_target>"},
      {"/a<b>", "", "", false, "<bad_target>"},
      {"/a{b}", "", "", false, "<bad_target>"},
      {"/a`b", "", "", false, "<bad_target>"},
      {"/a?<b>", "", "", false, "<bad_target>"},
      {"http:/a", "", "", false, "<bad_target>"},
      {"http:///a", "", "", false, "<bad_target>"},  // no authority
      {"http://", "", "", false, "<bad_target>"},
      {"http://user@a/", "", "", false, "<bad_target>"},
      {"http://user:pass@a/", "", "", false, "<bad_target>"},
      {"http://a:b/", "", "", false, "<bad_target>"},
      {"http://a#b", "", "", false, "<bad_target>"},
      {"http://a\\b", "", "", false, "<bad_target>"},
      {"ftp://a/", "", "", false, "<bad_target>"},
      {"ws://a/", "", "", false, "<bad_target>"},
      {"a.example:443", "", "", false, "<bad_target>"},  // authority-form is CONNECT's
  };
  for (const Row& row : rows) {
    CAPTURE(row.target);
    const auto target = parse_target(row.target, Method::GET);
    if (row.authority == "<bad_target>") {
      REQUIRE_FALSE(target);
      CHECK(target.error().reason == Reason::bad_target);
      continue;
    }
    REQUIRE(target);
    CHECK(target->path == row.path);
    CHECK(target->query == row.query);
    CHECK(target->has_query == row.has_query);
    CHECK(target->authority == row.authority);
    CHECK_FALSE(target->asterisk);
  }
}

TEST_CASE("OPTIONS may ask for the server as a whole") {
  for (const char* text : {"*", "http://a.example"}) {  // RFC 9112 §3.2.4
    const auto target = parse_target(text, Method::OPTIONS);
    REQUIRE(target);
    CHECK(target->asterisk);
    CHECK(target->path == "*");
  }
  CHECK_FALSE(parse_target("http://a.example/", Method::OPTIONS)->asterisk);
  CHECK_FALSE(parse_target("http://a.example?a", Method::OPTIONS)->asterisk);
  CHECK_FALSE(parse_target("**", Method::OPTIONS));
}

TEST_CASE("CONNECT's target is refused in every form") {
  for (const char* text : {"a.example:443", "/", "http://a/", "*"}) {
    CHECK(parse_target(text, Method::CONNECT).error().reason == Reason::bad_target);
  }
}

TEST_CASE("a path has one normal form") {
  const std::pair<std::string, std::string> rows[] = {
      {"/", "/"},
      {"/a/b/c", "/a/b/c"},
      {"*", "*"},
      // dot segments, RFC 3986 §5.2.4
      {"/a/b/c/./../../g", "/a/g"},
      {"/.", "/"},
      {"/./", "/"},
      {"/./a", "/a"},
      {"/a/.", "/a/"},
      {"/a/./", "/a/"},
      {"/a/./b", "/a/b"},
      {"/a/..", "/"},
      {"/a/../", "/"},
      {"/a/../b", "/b"},
      {"/a/b/..", "/a/"},
      {"/a/b/../", "/a/"},
      {"/a/b/../../c", "/c"},
      {"/a/./.././b/./", "/b/"},
      // dots that are none
      {"/.well-known/x", "/.well-known/x"},
      {"/..a", "/..a"},
      {"/a../b", "/a../b"},
      {"/...", "/..."},
      {"/a/.../b", "/a/.../b"},
      {"/a.b/c..d", "/a.b/c..d"},
      {"/0123456789abcde/.hidden", "/0123456789abcde/.hidden"},  // the slash ends one block, the dot begins the next
      {"/0123456789abcde/./x", "/0123456789abcde/x"},
      {"/0123456789abcd/../x", "/x"},
      // empty segments stay
      {"//", "//"},
      {"/a//b", "/a//b"},
      {"/a//../b", "/a/b"},
      {"//..", "/"},
      {"/a/b/..//c", "/a//c"},
      // escapes, RFC 3986 §6.2.2
      {"/%61%62", "/ab"},
      {"/%7Euser/%2D%2e%5F", "/~user/-._"},
      {"/%2e%2E/a", "<bad_path>"},
      {"/a/%2e%2e/b", "/b"},
      {"/a/.%2E/b", "/b"},
      {"/a/%2e/b", "/a/b"},
      {"/a%20b", "/a%20b"},
      {"/%c3%a9", "/%C3%A9"},
      {"/%C3%A9", "/%C3%A9"},
      {"/a%3fb%23", "/a%3Fb%23"},          // reserved ones stay escaped: they would mean something else
      {"/%252e%252e/a", "/%252e%252e/a"},  // decoded once, never twice
      {"/%25", "/%25"},
      {"/a%0d%0ab", "/a%0D%0Ab"},
      {"/a:b@c", "/a:b@c"},
      {"/a;x=1/b", "/a;x=1/b"},
      // refused
      {"", "<bad_path>"},
      {"a", "<bad_path>"},
      {"/..", "<bad_path>"},
      {"/../a", "<bad_path>"},
      {"/a/../..", "<bad_path>"},
      {"/a/../../b", "<bad_path>"},
      {"/./..", "<bad_path>"},
      {"/%2e%2e", "<bad_path>"},
      {"/a%2fb", "<bad_path>"},
      {"/a%2Fb", "<bad_path>"},
      {"/..%2f", "<bad_path>"},
      {"/a%5cb", "<bad_path>"},
      {"/a%5Cb", "<bad_path>"},
      {"/a\\b", "<bad_path>"},
      {"/a%00", "<bad_path>"},
      {std::string("/a\0b", 4), "<bad_path>"},
      {"/a%", "<bad_path>"},
      {"/a%2", "<bad_path>"},
      {"/a%g0", "<bad_path>"},
      {"/a%0g", "<bad_path>"},
      {"/a%%20", "<bad_path>"},
      {"/a%u002e", "<bad_path>"},
      {"/a/..;/b", "<bad_path>"},  // Java containers drop the parameters, and climb
      {"/a/..;x=1/b", "<bad_path>"},
      {"/a/%2e%2e;/b", "<bad_path>"},
      {"/a/.;/b", "<bad_path>"},
  };
  for (const auto& [path, expected] : rows) {
    CAPTURE(path);
    CHECK(normal(path) == expected);
  }
}

TEST_CASE("encoded slashes pass untouched where they are allowed") {
  CHECK(normal("/a%2Fb%2f", true) == "/a%2Fb%2f");
  CHECK(normal("/a%5cb%5C", true) == "/a%5cb%5C");
  CHECK(normal("/..%2f..", true) == "/..%2f..");  // one segment with an odd name
  CHECK(normal("/a%2f%61", true) == "/a%2fa");
  CHECK(normal("/a%00", true) == "<bad_path>");
  CHECK(normal("/a\\b", true) == "<bad_path>");
}

TEST_CASE("what must change is noticed at every offset") {
  for (size_t offset = 0; offset < 40; ++offset) {
    const std::string before = "/" + std::string(offset, 'a');
    CAPTURE(offset);
    CHECK(normal(before + "/./b") == before + "/b");
    CHECK(normal(before + "/../b") == "/b");
    CHECK(normal(before + "%41") == before + "A");
    CHECK(normal(before + "%2f") == "<bad_path>");
    CHECK(normal(before + "\\") == "<bad_path>");
    CHECK(normal(before + std::string(1, '\0')) == "<bad_path>");
    CHECK(normal(before + "/b.c") == before + "/b.c");
  }
}

TEST_CASE("an authority is a name, an IPv4 address or an IPv6 address in brackets, and perhaps a port") {
  for (const char* text :
       {"a", "example.com", "EXAMPLE.com.", "127.0.0.1", "a:80", "a:0", "a:65535", "[::1]", "[::1]:8080",
        "[2001:db8::192.0.2.1]", "xn--bcher-kva.example", "my_service", "a-b.c-d", "1", "a.b.c.d.e."}) {
    CAPTURE(text);
    CHECK(is_valid_authority(text));
  }
  const std::string rows[] = {
      "",
      ":80",
      "a:",
      "a:65536",
      "a:080000",
      "a:+80",
      "a:8a",
      "a:80:80",
      "::1",
      "[::1",
      "::1]",
      "[::1]a",
      "[::1]:",
      "[]",
      "[a]",
      "[127.0.0.1]",
      "[::1%25eth0]",
      "[v1.a]",
      "a..b",
      ".a",
      ".",
      "..",
      "a b",
      "a/b",
      "a\\b",
      "a@b",
      "user:pw@b",
      "a,b",
      "a;b",
      "a?b",
      "a#b",
      "a%41",
      "caf\xc3\xa9",
      "a\tb",
      "<a>",
      "a\"",
      std::string("[::1\0]", 6),
      std::string(256, 'a'),
  };
  for (const std::string& text : rows) {
    CAPTURE(text);
    CHECK_FALSE(is_valid_authority(text));
  }
}

TEST_CASE("the host is the authority without port and final dot") {
  CHECK(host_of("Example.com") == "Example.com");
  CHECK(host_of("example.com:80") == "example.com");
  CHECK(host_of("example.com.") == "example.com");
  CHECK(host_of("example.com.:80") == "example.com");
  CHECK(host_of("[::1]:80") == "[::1]");
  CHECK(host_of("[::1]") == "[::1]");
  CHECK(host_of("") == "");
}

TEST_CASE("a prefix is dropped from a path if it is whole segments of it") {
  CHECK(without_prefix("/api/x/y", "/api") == "/x/y");
  CHECK(without_prefix("/api/", "/api") == "/");
  CHECK(without_prefix("/api", "/api") == "/");
  CHECK(without_prefix("/apiary", "/api") == "/apiary");
  CHECK(without_prefix("/ap", "/api") == "/ap");
  CHECK(without_prefix("/x/api/y", "/api") == "/x/api/y");
  CHECK(without_prefix("/api/x", "") == "/api/x");
}

TEST_CASE("a query parameter is found by its decoded name") {
  const auto find = [](std::string_view query, std::string_view name) {
    std::string_view value = "untouched";
    return find_query_parameter(query, name, value) ? std::string(value) : "<none>";
  };
  CHECK(find("a=1&b=2", "a") == "1");
  CHECK(find("a=1&b=2", "b") == "2");
  CHECK(find("a=1&a=2", "a") == "1");
  CHECK(find("ab=1&a=2", "a") == "2");
  CHECK(find("a", "a") == "");
  CHECK(find("a=", "a") == "");
  CHECK(find("a=b=c", "a") == "b=c");
  CHECK(find("%61+b=%20x", "a b") == "%20x");  // the value stays encoded
  CHECK(find("", "a") == "<none>");
  CHECK(find("&&a=1&", "a") == "1");
  CHECK(find("b=a", "a") == "<none>");
  CHECK(find("=1", "") == "1");
}

TEST_CASE("decoded_equals decodes escapes and plus signs, and leaves bad escapes as they are") {
  CHECK(decoded_equals("a+b%21", "a b!"));
  CHECK(decoded_equals("", ""));
  CHECK(decoded_equals("%zz%4", "%zz%4"));
  CHECK(decoded_equals("%2B", "+"));
  CHECK_FALSE(decoded_equals("a", ""));
  CHECK_FALSE(decoded_equals("", "a"));
  CHECK_FALSE(decoded_equals("ab", "a"));
  CHECK_FALSE(decoded_equals("A", "a"));
}
