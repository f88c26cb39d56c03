#include "base/source_files.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <ctime>
#include <filesystem>

#include "../control/temporary_folder.h"

using namespace sluice;
using control::TemporaryFolder;

namespace {
std::string change_of(const SourceFiles& sources) { return sources.difference(sources.now()); }

// The clock that the kernel stamps files with moves every few milliseconds.
void wait_for_another_stamp() {
  const auto read = [] {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return now.tv_nsec;
  };
  const auto before = read();
  while (read() == before) {
  }
}
}  // namespace

TEST_CASE("a file that is written, replaced, removed or made is another one, and one that is read is not") {
  const TemporaryFolder folder;
  const std::string path = folder.write("a", "one");
  SourceFiles sources;
  sources.add(path);
  sources.add(folder / "missing");
  CHECK(change_of(sources).empty());
  SECTION("written") { folder.write("a", "three"); }
  SECTION("replaced by its like") {
    folder.write("b", "one");
    std::filesystem::rename(folder / "b", path);
  }
  SECTION("removed") { std::filesystem::remove(path); }
  SECTION("made readable, or written with as many bytes") {
    wait_for_another_stamp();
    ::chmod(path.c_str(), 0600);
  }
  CHECK(change_of(sources) == path);
}

TEST_CASE("a file that was not there and is now is another one") {
  const TemporaryFolder folder;
  SourceFiles sources;
  sources.add(folder / "later");
  folder.write("later", "");
  CHECK(change_of(sources) == folder / "later");
}

TEST_CASE("a folder is another one when a link leads to another one, whatever is done in it") {
  const TemporaryFolder folder;
  folder.write("one/file", "");
  folder.write("two/file", "");
  std::filesystem::create_symlink("one", folder / "current");
  SourceFiles sources;
  sources.add(folder / "current");
  folder.write("one/another", "");
  CHECK(change_of(sources).empty());
  std::filesystem::create_symlink("two", folder / "next");
  std::filesystem::rename(folder / "next", folder / "current");
  CHECK(change_of(sources) == folder / "current");
}

TEST_CASE("a pattern tells its matches in order, and later which came or went") {
  const TemporaryFolder folder;
  folder.write("b.yaml", "");
  folder.write("a.yaml", "");
  folder.write("c.txt", "");
  SourceFiles sources;
  CHECK(sources.add_pattern(folder / "*.yaml") == std::vector<std::string>{folder / "a.yaml", folder / "b.yaml"});
  CHECK(change_of(sources).empty());
  SECTION("came") {
    folder.write("c.yaml", "");
    CHECK(change_of(sources) == folder / "c.yaml");
  }
  SECTION("went") {
    std::filesystem::remove(folder / "a.yaml");
    CHECK(change_of(sources) == folder / "a.yaml");
  }
  SECTION("of no interest") {
    folder.write("d.txt", "");
    CHECK(change_of(sources).empty());
  }
}
