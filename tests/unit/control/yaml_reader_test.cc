#include "control/yaml_reader.h"

#include <catch2/catch.hpp>

#include "text_of.h"

using namespace sluice::control;

namespace {

struct Read {
  Tree tree;
  Diagnostics diagnostics;
  Node* root = nullptr;

  explicit Read(std::string text, const YamlLimits& limits = {}) {
    root = read_yaml(diagnostics.add_file("x.yaml", std::move(text)), tree, diagnostics, limits);
  }
  std::string messages() const { return messages_of(diagnostics.errors()); }
};

}  // namespace

TEST_CASE("every node knows its kind and its place") {
  const Read read("a: 1\nb:\n  - x\n  - 'y'\nc: {d: ~}\n");
  REQUIRE(read.root != nullptr);
  CHECK(read.root->kind == Node::Kind::map);
  const Node& list = *read.root->find("b");
  REQUIRE(list.kind == Node::Kind::list);
  REQUIRE(list.entries.size() == 2);
  CHECK(list.entries[1].value->text == "y");
  CHECK(list.entries[1].value->quoted);
  CHECK_FALSE(list.entries[0].value->quoted);
  CHECK(list.entries[1].value->place.line == 4);
  CHECK(list.entries[1].value->place.column == 5);
  const Node& null = *read.root->find("c")->find("d");
  CHECK(null.kind == Node::Kind::null);
  CHECK(null.place.line == 5);
  CHECK(null.place.column == 5);  // the key's: nothing was written
}

TEST_CASE("an empty text is a null") {
  const std::string text = GENERATE("", "# only a comment\n", "---\n", "~");
  const Read read(text);
  REQUIRE(read.root != nullptr);
  CHECK(read.root->kind == Node::Kind::null);
  CHECK(read.messages().empty());
}

TEST_CASE("a key that is given twice is an error at its second place") {
  CHECK(Read("a: 1\nb: 2\na: 3\n").messages() == "3:1 \"a\" is given twice; first in line 1\n");
  std::string many;
  for (int i = 0; i < 50; ++i) many += "k" + std::to_string(i) + ": 1\n";
  CHECK(Read(many).messages().empty());
  CHECK(Read(many + "k0: 2\nk49: 2\n").messages() ==
        "51:1 \"k0\" is given twice; first in line 1\n52:1 \"k49\" is given twice; first in line 50\n");
}

TEST_CASE("text that is not YAML is an error at its place") {
  struct Case {
    const char* text;
    const char* message;
  };
  const auto [text, message] = GENERATE(values<Case>({
      {"a: b\n c: d\n", "2:3 a \":\" cannot stand here; check the indentation, or put the text in quotes"},
      {"a:\n\tb: 1\n", "2:1 a tab cannot stand here; indent with spaces, never with tabs"},
      {"a: 1\n\tb: 2\n", "2:1 a tab cannot stand here; indent with spaces, never with tabs"},
      {"a: b: c\t\n",
       "1:5 a \":\" cannot stand here; check the indentation, or put the text in quotes; indent with spaces, never "
       "with tabs"},
      {"a:\n  b: 1\n c: 2\n",
       "3:2 a key cannot begin here; check the indentation, and that no text goes on after a closing quote or bracket"},
      {"- a\nb: 1\n", "2:1 a list item (\"- \") is expected here; check the indentation"},
      {"a: - b\n", "1:4 a list item (\"- \") cannot begin here; check the indentation, or begin a new line"},
      {"a: 1\nb\nc: 2\n", "2:1 a \":\" is missing behind this key"},
      {"a: [1,\n", "2:1 the bracket that opens in line 1 is never closed"},
      {"a: {b:\n  [1", "2:5 the bracket that opens in line 2 is never closed"},
      {"a: [1, 2\nb: 3\n", "2:2 a \",\" or \"]\" is missing here; the bracket opens in line 1"},
      {"a: {b: 1\nc: 3}\n", "2:2 a \",\" or \"}\" is missing here; the bracket opens in line 1"},
      {"{a: 1}}\n", "1:7 no bracket is open that this \"}\" could close"},
      {"a: \"b\nc: 1\n", "1:4 this quote is never closed"},
      {"a: 'b\n---\n", "1:4 this quote is not closed in its document"},
      {"a: \"\\q\"\n", "1:5 an unknown escape; write \\\\ for a backslash, or use single quotes"},
      {"a: @b\n", "1:4 a text that begins with \"@\" needs quotes"},
      {"a: *.com\n", "1:5 letters, digits, \"-\" and \"_\" can follow \"*\"; a text that begins with it needs quotes"},
      {"a: &\n", "1:5 letters, digits, \"-\" and \"_\" can follow \"&\"; a text that begins with it needs quotes"},
      {"a: !<b\n", "1:7 not a tag; a text that begins with \"!\" needs quotes"},
      {"a: |x\n", "1:5 after \"|\" or \">\" only \"+\", \"-\" and an indentation from 1 to 9 can stand"},
      {"%FOO\n---\n", "1:5 a directive (\"%\") that is not known; leave it out"},
      {"%YAML 2.0\n---\n", "1:1 this version of YAML is not known; leave the line out"},
      {"a: *x\n", "1:4 no value before this alias has the anchor \"&x\""},
      {"a: *x\nb: &x 1\n", "1:4 no value before this alias has the anchor \"&x\""},
      {"a: 1\n---\nb: 2\n", "2:1 a second document begins here; only one is read"},
      {"a: 1\n...\nb: 2\n", "3:1 a second document begins here; only one is read"},
      {"[1]: 2\n", "1:1 a key must be a plain word"},
      {"a: &x b\n*x : c\n", "2:1 an alias cannot be a key here"},
      {": 1\n", "1:1 a key is missing here"},
      {"{a: 1, : 2}\n", "1:8 a key is missing here"},
      {"a: 1\n~: 2\n", "2:1 a key is missing here"},
      {"a: 1\nb: \xff\n", "2:4 the file is not UTF-8 here"},
      {"\xff\xfe"
       "a",
       "1:1 the file is not UTF-8 here"},
      {"a: 1\nb: \"\x01\"\n", "2:5 the character U+0001 cannot stand here; in double quotes write \\u0001"},
  }));
  CAPTURE(text);
  const Read read(text);
  CHECK(read.root == nullptr);
  std::string expected = message;
  expected.insert(expected.find(' ') + 1, "not valid YAML: ");
  CHECK(read.messages() == expected + "\n");
}

TEST_CASE("a zero byte does not end the text") {
  const Read read(std::string("a: 1\nb: \0\n", 11));
  CHECK(read.root == nullptr);
  CHECK(read.messages() ==
        "2:4 not valid YAML: the character U+0000 cannot stand here; in double quotes write \\u0000\n");
  CHECK(Read("a: \"x\\u0000y\"").root->find("a")->text == std::string_view("x\0y", 3));
}

TEST_CASE("columns count bytes, and lines end with a line feed only") {
  const Read read("\u00e4: [\u20ac, x]  # \U0001f600\n\"\u00f6\": {\u00e9: \"\u2028\", q: y}\r\nz: 1\n");
  REQUIRE(read.root != nullptr);
  const auto place_of = [](const Node& node) { return std::pair(node.place.line, node.place.column); };
  CHECK(place_of(*read.root->entries[0].value->entries[1].value) == std::pair(1u, 11u));
  CHECK(place_of(*read.root->entries[1].value) == std::pair(2u, 7u));
  CHECK(place_of(*read.root->entries[1].value->find("q")) == std::pair(2u, 22u));
  CHECK(place_of(*read.root->find("z")) == std::pair(3u, 4u));
  CHECK(Read("\u00e4: 1\n\u00f6: [\u00e9, *x]\n").messages() ==
        "2:10 not valid YAML: no value before this alias has the anchor \"&x\"\n");
}

TEST_CASE("a byte order mark is no part of the text") {
  const Read read("\ufeffa: 1\nb: 2\n");
  REQUIRE(read.root != nullptr);
  CHECK(read.root->entries[0].key == "a");
  CHECK(read.root->entries[0].key_place.column == 1);
  CHECK(read.root->find("b")->text == "2");
}

TEST_CASE("a plain scalar without a tag can be a null") {
  const auto kind_of = [](const std::string& value) { return Read("a: " + value).root->find("a")->kind; };
  for (const char* null : {"", "~", "null", "Null", "NULL", "&x", "&x ~"}) {
    CAPTURE(null);
    CHECK(kind_of(null) == Node::Kind::null);
  }
  for (const char* scalar : {"nULL", "'~'", "\"\"", "!!str", "!!str ~", "! ~", "|\n  ~"}) {
    CAPTURE(scalar);
    CHECK(kind_of(scalar) == Node::Kind::scalar);
  }
}

TEST_CASE("whatever is not plain counts as quoted") {
  const auto is_quoted = [](const std::string& value) { return Read("a: " + value).root->find("a")->quoted; };
  for (const char* quoted : {"'x'", "\"x\"", "|\n  x", ">-\n  x", "! x"}) CHECK(is_quoted(quoted));
  for (const char* plain : {"x", "!!str x", "&x x"}) CHECK_FALSE(is_quoted(plain));
  CHECK(Read("a: |\n  x\n  y\n").root->find("a")->text == "x\ny\n");
  CHECK(Read("a: >-\n  x\n  y\n").root->find("a")->text == "x y");
}

TEST_CASE("an alias stands for what its anchor names") {
  const Read read("a: &x {b: 1}\nc: *x\n");
  REQUIRE(read.root != nullptr);
  CHECK(read.root->find("c")->find("b")->text == "1");
  CHECK(Read("a: &x 1\nb: &x 2\nc: *x\n").root->find("c")->text == "2");  // the last one before it
  CHECK(Read("a: &x\nb: *x\n").root->find("b")->kind == Node::Kind::null);
}

TEST_CASE("what aliases stand for is bounded") {
  std::string laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n";
  for (int i = 1; i < 20; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    laughs += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 9; ++j) laughs += (j == 0 ? "" : ", ") + before;
    laughs += "]\n";
  }
  const Read read(laughs);
  CHECK(read.root == nullptr);
  CHECK_THAT(read.messages(), Catch::Contains("the aliases of this file stand for too much"));
  CHECK(read.tree.size() < 1000);
}

TEST_CASE("an alias inside of its own anchor is refused") {
  const Read read("a: &x [*x]\n");
  CHECK(read.root == nullptr);
  CHECK(read.messages() == "1:8 not valid YAML: this alias stands inside of what it names\n");
}

TEST_CASE("depth and number of values are bounded") {
  std::string nested;
  for (int i = 0; i < 40; ++i) nested += "- ";
  const Read deep(nested + "x\n");
  CHECK(deep.root == nullptr);
  CHECK_THAT(deep.messages(), Catch::Contains("more than 32 levels deep"));
  const Read many("[1, 2, 3, 4]", {.nodes = 4});
  CHECK(many.root == nullptr);
  CHECK(many.messages() == "1:11 not valid YAML: the configuration has more than 4 values\n");
}
