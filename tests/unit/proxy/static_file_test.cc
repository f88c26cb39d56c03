#include "proxy/static_file.h"

#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <array>
#include <memory>
#include <string>

#include "../test_folder.h"
#include "header_list.h"
#include "proxy/static_file_open.h"

namespace sluice::proxy {
namespace {

using http::Method;

// A root with some files in it, and an outside with a secret.
class Site {
 public:
  Site() {
    folder.write("site/index.html", "<h1>home</h1>");
    folder.write("site/hello.txt", "0123456789");
    folder.write("site/empty.txt", "");
    folder.write("site/sp ace%.txt", "odd");
    folder.write("site/docs/index.html", "docs");
    folder.write("site/docs/deep/page.html", "deep");
    folder.write("site/indexed/index.html/file", "the index is a folder");
    folder.write("site/.env", "secret");
    folder.write("site/.git/config", "secret");
    folder.write("site/docs/.hidden", "secret");
    folder.write("site/.well-known/acme/token", "token");
    folder.write("site/.well-known/.hidden", "secret");
    folder.write("site/.well-knownish/file", "secret");
    folder.write("outside/secret.txt", "secret");
    link("hello.txt", "site/to-file");
    link("docs", "site/to-folder");
    link("../site/hello.txt", "site/out-and-in");
    link("../outside/secret.txt", "site/escape-file");
    link("../outside", "site/escape-folder");
    link(folder.path("outside/secret.txt"), "site/absolute");
    link("circle", "site/circle");
    link("nothing", "site/dangling");
    REQUIRE(mkfifo(folder.path("site/fifo").c_str(), 0600) == 0);
    spec.root = folder.path("site");
    open_root();
  }

  StaticAnswer get(std::string_view path, HeaderList headers = {}, Method method = Method::GET) const {
    return open_static(spec, path, method, headers);
  }

  TestFolder folder;
  snapshot::StaticSpec spec;

 private:
  void link(const std::string& target, const std::string& name) const {
    std::filesystem::create_symlink(target, folder.path(name));
  }
  void open_root() {
    auto* fd = new int(open(spec.root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    REQUIRE(*fd >= 0);
    spec.root_fd = std::shared_ptr<const int>(fd, [](const int* closing) {
      close(*closing);
      delete closing;
    });
  }
};

std::string body_of(const StaticAnswer& answer) {
  std::string bytes(answer.length, '\0');
  const ssize_t got = pread(answer.file.get(), bytes.data(), bytes.size(), static_cast<off_t>(answer.offset));
  return got < 0 ? "pread failed" : bytes.substr(0, static_cast<size_t>(got));
}

std::string fields_of(const StaticAnswer& answer, std::string_view query = {}) {
  std::array<char, 1024> bytes;
  http::HeadWriter head(bytes);
  answer.write_fields(head, query);
  REQUIRE_FALSE(head.overflowed());
  return std::string(head.view());
}

TEST_CASE("What lies below the root is served, and nothing else") {
  const Site site;
  const struct {
    const char* path;
    uint16_t status;
    Reason reason = Reason::none;
  } rows[] = {
      {"hello.txt", 200},
      {"/hello.txt", 200},
      {"//hello.txt", 200},
      {"", 200},
      {"/", 200},
      {"docs/", 200},
      {"docs//deep///page.html", 200},
      {"sp%20ace%25.txt", 200},
      {"to-file", 200},
      {"to-folder/deep/page.html", 200},
      {".well-known/acme/token", 200},
      {"docs", 308},
      {"to-folder", 308},
      {".well-known", 308},
      {"missing.txt", 404, Reason::file_not_found},
      {"docs/deep/", 404, Reason::file_not_found},  // no index there
      {"indexed/", 404, Reason::file_not_found},    // the index is a folder
      {"hello.txt/", 404, Reason::file_not_found},
      {"hello.txt/more", 404, Reason::file_not_found},
      {"dangling", 404, Reason::file_not_found},
      {".env", 404, Reason::file_not_found},
      {".git/config", 404, Reason::file_not_found},
      {"%2egit/config", 404, Reason::file_not_found},
      {"docs/.hidden", 404, Reason::file_not_found},
      {".well-known/.hidden", 404, Reason::file_not_found},
      {".well-knownish/file", 404, Reason::file_not_found},
      {"docs/.well-known/x", 404, Reason::file_not_found},
      {"..", 404, Reason::file_not_found},
      {"../outside/secret.txt", 404, Reason::file_not_found},
      {"docs/../../outside/secret.txt", 404, Reason::file_not_found},
      {"%2e%2e/outside/secret.txt", 404, Reason::file_not_found},
      {"docs/.%2e/.%2e/outside/secret.txt", 404, Reason::file_not_found},
      {"..%2foutside%2fsecret.txt", 400, Reason::bad_path},
      {"docs%2Findex.html", 400, Reason::bad_path},
      {"hello.txt%00.png", 400, Reason::bad_path},
      {"hello%2", 400, Reason::bad_path},
      {"hello%zz", 400, Reason::bad_path},
      {"escape-file", 403, Reason::file_forbidden},
      {"escape-folder/secret.txt", 403, Reason::file_forbidden},
      {"out-and-in", 403, Reason::file_forbidden},
      {"absolute", 403, Reason::file_forbidden},
      {"circle", 403, Reason::file_forbidden},
      {"fifo", 403, Reason::file_forbidden},  // and does not hang
  };
  for (const auto& row : rows) {
    INFO(row.path);
    const StaticAnswer answer = site.get(row.path);
    CHECK(answer.status == row.status);
    CHECK(answer.reason == row.reason);
    CHECK(static_cast<bool>(answer.file) == (row.status == 200));
  }
}

TEST_CASE("Without openat2 the same holds, but that no symlink is followed") {
  const Site site;
  const struct {
    const char* path;
    Reason reason = Reason::none;
  } rows[] = {
      {"hello.txt"},
      {"docs//deep/page.html"},
      {"missing.txt", Reason::file_not_found},
      {"missing/hello.txt", Reason::file_not_found},
      {"hello.txt/more", Reason::file_not_found},
      {"to-file", Reason::file_forbidden},
      {"to-folder/deep/page.html", Reason::file_not_found},  // the kernel calls the link "not a directory"
      {"escape-file", Reason::file_forbidden},
      {"escape-folder/secret.txt", Reason::file_not_found},
  };
  for (const auto& row : rows) {
    INFO(row.path);
    StaticPath path;
    REQUIRE(decode_static_path(row.path, "index.html", path));
    const auto file = open_beneath(*site.spec.root_fd, path, Opener::stepwise);
    CHECK((file ? Reason::none : file.error().reason) == row.reason);
  }
}

TEST_CASE("A path that is too long does not exist") {
  const Site site;
  CHECK(site.get(std::string(300, 'a')).status == 404);
  CHECK(site.get(std::string(100'000, 'a')).status == 404);
  CHECK(site.get(std::string(PATH_MAX - 1, '/') + "a").status == 404);
}

TEST_CASE("A file that the gateway may not read is forbidden") {
  const Site site;
  REQUIRE(chmod(site.folder.path("site/hello.txt").c_str(), 0) == 0);
  REQUIRE(chmod(site.folder.path().c_str(), 0755) == 0);
  const auto before = setfsuid(geteuid() == 0 ? 65534 : geteuid());  // of this thread only; root reads everything
  const StaticAnswer answer = site.get("hello.txt");
  setfsuid(static_cast<uid_t>(before));
  CHECK(answer.status == 403);
  CHECK(answer.reason == Reason::file_forbidden);
}

TEST_CASE("A socket in the root is forbidden") {
  const Site site;
  const UniqueFd bound(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  site.folder.path("site/socket").copy(address.sun_path, sizeof(address.sun_path) - 1);
  REQUIRE(bind(bound.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  CHECK(site.get("socket").reason == Reason::file_forbidden);
}

TEST_CASE("A file that is removed or replaced while it is sent stays as it was opened") {
  const Site site;
  const StaticAnswer answer = site.get("hello.txt");
  std::filesystem::remove(site.folder.path("site/hello.txt"));
  site.folder.write("site/hello.txt", "other bytes");
  CHECK(body_of(answer) == "0123456789");
  const StaticAnswer later = site.get("hello.txt");
  CHECK(body_of(later) == "other bytes");
  CHECK(later.etag.view() != answer.etag.view());
}

TEST_CASE("No descriptor left is told apart from a missing file") {
  const Site site;
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit none{0, before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  const StaticAnswer answer = site.get("hello.txt");
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(answer.status == 503);
  CHECK(answer.reason == Reason::out_of_descriptors);
}

TEST_CASE("A whole file comes with type, validators and the offer of ranges") {
  const Site site;
  REQUIRE(utimensat(AT_FDCWD, site.folder.path("site/hello.txt").c_str(),
                    std::array<timespec, 2>{{{784111777, 5}, {784111777, 5}}}.data(), 0) == 0);
  struct stat status {};
  REQUIRE(stat(site.folder.path("site/hello.txt").c_str(), &status) == 0);
  const StaticAnswer answer = site.get("hello.txt");
  CHECK(answer.status == 200);
  CHECK_FALSE(answer.head_only);
  CHECK(body_of(answer) == "0123456789");
  char inode[32];
  snprintf(inode, sizeof(inode), "%lx", static_cast<unsigned long>(status.st_ino));
  CHECK(fields_of(answer) ==
        "Content-Type: text/plain; charset=utf-8\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "ETag: \"ae1b981bc490a05-a-" +
            std::string(inode) +
            "\"\r\n"
            "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
            "Accept-Ranges: bytes\r\n");
}

TEST_CASE("An index is typed by its own name, and an empty file is whole") {
  const Site site;
  CHECK(site.get("docs/").content_type == "text/html; charset=utf-8");
  const StaticAnswer empty = site.get("empty.txt");
  CHECK(empty.status == 200);
  CHECK(empty.length == 0);
}

TEST_CASE("A time that is still to come is not sent as Last-Modified") {
  const Site site;
  REQUIRE(utimensat(AT_FDCWD, site.folder.path("site/hello.txt").c_str(),
                    std::array<timespec, 2>{{{16725225600, 0}, {16725225600, 0}}}.data(),
                    0) == 0);  // year 2500
  const StaticAnswer answer = site.get("hello.txt", {{"If-Modified-Since", "Fri, 31 Dec 9999 23:59:59 GMT"}});
  CHECK(answer.status == 200);
  CHECK(answer.last_modified.empty());
}

TEST_CASE("HEAD has the fields and length of GET and no file; ranges are GET's alone") {
  const Site site;
  const StaticAnswer head = site.get("hello.txt", {{"Range", "bytes=0-1"}}, Method::HEAD);
  CHECK(head.status == 200);
  CHECK(head.head_only);
  CHECK(head.length == 10);
  CHECK_FALSE(head.file);
  CHECK(fields_of(head) == fields_of(site.get("hello.txt")));
}

TEST_CASE("Other methods are refused with Allow") {
  const Site site;
  for (const Method method : {Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS}) {
    const StaticAnswer answer = site.get("hello.txt", {}, method);
    CHECK(answer.status == 405);
    CHECK(answer.reason == Reason::method_not_allowed);
    CHECK(fields_of(answer) == "Allow: GET, HEAD\r\n");
  }
}

TEST_CASE("A range is sent as 206 with its place, or refused as 416 with the size") {
  const Site site;
  const StaticAnswer part = site.get("hello.txt", {{"Range", "bytes=2-5"}});
  CHECK(part.status == 206);
  CHECK(body_of(part) == "2345");
  CHECK(part.content_range.view() == "bytes 2-5/10");
  CHECK(part.content_type == "text/plain; charset=utf-8");

  const StaticAnswer beyond = site.get("hello.txt", {{"Range", "bytes=10-"}});
  CHECK(beyond.status == 416);
  CHECK(beyond.reason == Reason::range_not_satisfiable);
  CHECK_FALSE(beyond.file);
  CHECK(fields_of(beyond) == "Content-Range: bytes */10\r\nAccept-Ranges: bytes\r\n");
}

TEST_CASE("Offsets past 4 GiB are exact") {
  const Site site;
  constexpr off_t kSize = off_t{5} << 30;
  const UniqueFd file(open(site.folder.path("site/big.bin").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  REQUIRE(ftruncate(file.get(), kSize) == 0);  // a hole: takes no room
  REQUIRE(pwrite(file.get(), "end", 3, kSize - 3) == 3);
  const StaticAnswer answer = site.get("big.bin", {{"Range", "bytes=-3"}});
  CHECK(answer.status == 206);
  CHECK(answer.content_range.view() == "bytes 5368709117-5368709119/5368709120");
  CHECK(body_of(answer) == "end");
}

TEST_CASE("A client's own ETag or date brings 304 with validators and without a body") {
  const Site site;
  const StaticAnswer first = site.get("hello.txt");
  const std::string etag(first.etag.view());
  const std::string date(first.last_modified.view());
  for (auto headers : {HeaderList{{"If-None-Match", etag.c_str()}}, HeaderList{{"If-Modified-Since", date.c_str()}}}) {
    const StaticAnswer again = site.get("hello.txt", headers);
    CHECK(again.status == 304);
    CHECK(again.reason == Reason::none);
    CHECK_FALSE(again.file);
    CHECK(again.length == 0);
    CHECK(fields_of(again) == "ETag: " + etag + "\r\nLast-Modified: " + date + "\r\n");
  }
  CHECK(site.get("hello.txt", {{"If-Match", "\"other\""}}).status == 412);
  CHECK(site.get("hello.txt", {{"If-None-Match", etag.c_str()}, {"Range", "bytes=0-1"}}).status == 304);
  CHECK(site.get("hello.txt", {{"If-Range", etag.c_str()}, {"Range", "bytes=0-1"}}).status == 206);
  CHECK(site.get("hello.txt", {{"If-Range", "\"other\""}, {"Range", "bytes=0-1"}}).status == 200);
  CHECK(site.get("missing.txt", {{"If-Match", "*"}}).status == 404);
}

TEST_CASE("A folder without its slash is redirected relative to the request, query kept") {
  const Site site;
  CHECK(fields_of(site.get("docs")) == "Location: ./docs/\r\n");
  CHECK(fields_of(site.get("docs/deep"), "a=1") == "Location: ./deep/?a=1\r\n");
  CHECK(fields_of(site.get("//docs")) == "Location: ./docs/\r\n");  // never to another host
}

}  // namespace
}  // namespace sluice::proxy
