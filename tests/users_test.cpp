// Several users on one machine: what one of them has made in /tmp neither misleads nor stops another.
#include "catch.hpp"
#include "support.hpp"

using namespace test;

namespace {

// `script` as root in a mount namespace with an empty /tmp, where `as UID COMMAND...` is somebody else; false without
// the right.
bool elsewhere(const std::string& script, std::string& output, int& status) {
    std::string make =
        "mount -t tmpfs -o mode=1777 tmpfs /tmp && as() { uid=$1; shift; setpriv --reuid $uid --regid $uid "
        "--clear-groups \"$@\"; }\n";
    Directory directory;
    std::string file = directory.write("script", make + script);
    if (geteuid() != 0 || system("unshare -m true 2>/dev/null")) {
        WARN("this test needs root, to become several users: skipped");
        return false;
    }
    status = finish(popen(("timeout -k 5 120 unshare -m sh -c '. " + file + "' 2>&1 </dev/null").c_str(), "r"), output);
    return true;
}

}  // namespace

TEST_CASE("a user's own directory: nobody else's, no link, mode 700, or not at all", "[users]") {
    std::string output;
    int status;
    if (!elsewhere(R"(
mine() { as 4242 env XDG_RUNTIME_DIR="$runtime" sh -c '. labs/tools.sh && private_directory && echo $private && rmdir $private'; }
runtime='' && mine
as 4243 mkdir /tmp/tcp-lab-4242 && mine
rmdir /tmp/tcp-lab-4242
as 4242 mkdir /tmp/target && as 4243 ln -s /tmp/target /tmp/tcp-lab-4242 && mine
mkdir -m 700 /tmp/runtime && chown 4242 /tmp/runtime && runtime=/tmp/runtime && mine
runtime=/tmp && mine
rm /tmp/tcp-lab-4242
as 4242 mkdir -m 777 /tmp/tcp-lab-4242 && runtime='' && mine
)",
                   output, status))
        return;
    INFO(output);
    std::istringstream lines(output);
    std::vector<std::string> said;
    for (std::string line; std::getline(lines, line);) said.push_back(line);
    REQUIRE(said.size() == 6);
    CHECK(said[0] == "/tmp/tcp-lab-4242");
    for (int i : {1, 2, 4, 5}) CHECK(said[i].find("/tmp/tcp-lab-4242 is not a directory that is yours alone: ") == 0);
    CHECK(said[1].find("drwx") != std::string::npos);
    CHECK(said[2].find("lrwx") != std::string::npos);
    CHECK(said[3] == "/tmp/runtime/tcp-lab");
    CHECK(status == 1);
}
