// Several users on one machine: what one of them has made in /tmp neither misleads nor stops another. tests/hosts/users
// has what is tried; its last line says what is wrong.
#include "catch.hpp"
#include "support.hpp"

namespace {

void users(const std::string& name) {
    std::string output;
    int status = test::finish(popen(("tests/hosts/users " + name + " 2>&1 </dev/null").c_str(), "r"), output);
    INFO(output);
    if (status == 4) WARN(name << ": this takes root and namespaces: not tested");
    else CHECK(status == 0);
}

}  // namespace

TEST_CASE("a user's own directory: nobody else's, no link, mode 700, or none", "[users]") { users("directory"); }
TEST_CASE("a lock is one shell's, until it lets go or dies", "[users]") { users("locks"); }
TEST_CASE("on one stack: what others have in /tmp stops no lab, and each user has ports", "[users]") {
    users("one_stack");
}
TEST_CASE("what killed runs have left is ended by labs/doctor --clean", "[users]") { users("cleaned"); }
TEST_CASE("programs that a host has already are used when nobody else can change them", "[users]") {
    users("programs");
}
TEST_CASE("make install: a lab room's share, names of our own, and nothing that lintian minds", "[users][install]") {
    std::string output;
    int status = test::finish(popen("timeout 300 tests/installed 2>&1", "r"), output);
    INFO(output);
    CHECK(status == 0);
}
