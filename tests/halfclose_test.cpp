// halfclose_test.cpp - halfclose-server and halfclose-client: every byte, every record, both halves, every way to end.
#include "catch.hpp"
#include "support.hpp"

#include <grp.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <map>
#include <regex>

using namespace test;

namespace {

std::string bytes(size_t size) {
    std::string data(size, 0);
    unsigned seed = 7;
    for (char& c : data) c = char((seed = seed * 1664525 + 1013904223) >> 24);
    return data;
}

// A file in a directory of its own; both go with it.
struct File {
    Directory around;
    std::string directory = around.path, path, content;
    explicit File(const std::string& data, const std::string& name = "data")
        : path(around.write(name, data)), content(data) {}
};

std::vector<std::string> words(std::vector<std::string> first, const std::vector<std::string>& more) {
    first.insert(first.end(), more.begin(), more.end());
    return first;
}
struct Server : Process {
    Server(const File& file, const std::vector<std::string>& args = {})
        : Process("halfclose-server", words({"-l", "127.0.0.1:0", "-f", file.path}, args)) {}
};
// With --json a record says where it listens.
struct Json_server : Server {
    Json_server(const File& file, const std::vector<std::string>& args) : Server(file, words({"--json"}, args)) {}
    int port() const {
        std::string start = "\"msg\":\"start the server\",\"server\":{\"listen\":\"127.0.0.1:";
        REQUIRE(wait_for_stdout(start));
        std::string text = out();
        return std::stoi(text.substr(text.find(start) + start.size()));
    }
};
std::vector<std::string> to(int port, const std::vector<std::string>& more = {}) {
    return words({"-s", "127.0.0.1:" + std::to_string(port)}, more);
}
// What a program prints, line by line, without its time: JSON records and log lines.
std::string timeless(const std::string& text) {
    std::string records =
        std::regex_replace(text, std::regex(R"re(\{"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z",)re"), "{");
    return std::regex_replace(records, std::regex(R"(halfclose-\w+\[\d+\]: \d\d:\d\d:\d\d\.\d{6} )"), "");
}
// How often the process has gone to sleep or been put aside: it stands still for a process that waits.
long switches(pid_t pid) {
    std::ifstream status("/proc/" + std::to_string(pid) + "/status");
    long sum = 0;
    for (std::string name, value; status >> name && std::getline(status, value);)
        if (name.find("ctxt_switches") != name.npos) sum += std::stol(value);
    return sum;
}
bool asleep(pid_t pid) {
    auto fields = stat_fields(pid);
    return !fields.empty() && fields[3] == "S";
}

}  // namespace

TEST_CASE("halfclose: byte-exact at every chunk size", "[halfclose]") {
    using Args = std::vector<std::string>;
    auto chunk = GENERATE(as<Args>{}, Args{"0"}, Args{"1"}, Args{"2"}, Args{"3"}, Args{"10"}, Args{"1000"},
                          Args{"1023"}, Args{"1024"}, Args{"4096"}, Args{"64k"}, Args{"100003"}, Args{"100004"},
                          Args{"1g"}, Args{"10", "--option", "nodelay"}, Args{"0", "--option", "sndbuf=4096"},
                          Args{"1023", "--log-level", "debug"}, Args{"3000", "--rate", "1g"}, Args{"0", "--rate", "1m"},
                          Args{"50000", "-i", "1ms"});
    CAPTURE(chunk);
    File file(bytes(100003));
    Server server(file, words({"-c"}, chunk));
    Client client(server.port());
    CHECK(client.receive(10) == file.content.substr(0, 10));
    client.shutdown_write();
    CHECK((client.receive_all() == file.content.substr(10)));
    CHECK(client.end() == Client::Fin);
    client.close();
    Client second(server.port());  // that never half-closes
    CHECK((second.receive_all() == file.content));
    CHECK(second.end() == Client::Fin);
}

TEST_CASE("halfclose: an empty file is a FIN and no byte", "[halfclose]") {
    File file("");
    Server server(file, {"-c", GENERATE(as<std::string>{}, "0", "10")});
    Client client(server.port());
    CHECK(client.receive_all() == "");
    CHECK(client.end() == Client::Fin);
}

TEST_CASE("halfclose: what cannot be sent is said at the start", "[halfclose]") {
    File file("data"), pipe("", "pipe");
    unlink(pipe.path.c_str());
    REQUIRE(mkfifo(pipe.path.c_str(), 0666) == 0);
    auto refused = [](const std::string& path) {
        Process server("halfclose-server", {"-l", "127.0.0.1:0", "-f", path}, [] { become_somebody(61018); });
        CHECK(server.wait_exit() == 1);
        CHECK(server.err().find("listening") == std::string::npos);
        return server.err();
    };
    CHECK(refused(file.path + ".missing") ==
          "halfclose-server: open " + file.path + ".missing: No such file or directory\n");
    CHECK(refused(file.directory) == "halfclose-server: open " + file.directory + ": not a regular file\n");
    CHECK(refused(pipe.path) == "halfclose-server: open " + pipe.path + ": not a regular file\n");
    CHECK(refused("/proc/version") == "halfclose-server: open /proc/version: its size is not the one that it says\n");
    CHECK(refused("/tmp/\x1b[2J\n") == "halfclose-server: open /tmp/\\x1b[2J\\n: No such file or directory\n");
    chmod(file.path.c_str(), 0);
    CHECK(refused(file.path) == "halfclose-server: open " + file.path + ": Permission denied\n");
    Process json("halfclose-server", {"-f", "/nowhere", "-l", "127.0.0.1:0", "--json"});
    CHECK(json.wait_exit() == 1);
    CHECK(json.err() == "");
    CHECK(
        timeless(json.out()) ==
        "{\"level\":\"INFO\",\"msg\":\"new "
        "server\",\"server\":{\"listen\":\"127.0.0.1:0\",\"file\":\"/nowhere\",\"chunk\":1024}}\n"
        "{\"level\":\"ERROR\",\"msg\":\"server run failed\",\"error\":\"open /nowhere: No such file or directory\"}\n");
}

TEST_CASE("halfclose: nonsense on the command line is named", "[halfclose]") {
    struct Line {
        std::string program;
        std::vector<std::string> args;
        std::string says;
    };
    auto line = GENERATE(values<Line>({
        {"server", {}, "which file? -f FILE"},
        {"server", {"-f", "x", "-c", "-1"}, "--chunk must be 0..1g, not \"-1\""},
        {"server", {"-f", "x", "-c", "ten"}, "--chunk must be 0..1g, not \"ten\""},
        {"server", {"-f", "x", "-c", "2g"}, "--chunk must be 0..1g, not \"2g\""},
        {"server", {"-f", "x", "-i", "5"}, "--interval must be 0..24h, not \"5\""},
        {"server", {"-f", "x", "-i", "-1s"}, "--interval must be 0..24h, not \"-1s\""},
        {"server", {"-f", "x", "--rate", "fast"}, "--rate must be 0..100g, not \"fast\""},
        {"server", {"-f", "x", "--log-level", "loud"}, "--log-level must be debug, info, warn or error, not \"loud\""},
        {"server", {"x", "99999"}, "port must be 0..65535, not \"99999\""},
        {"server", {"x", "1", "2"}, "usage: halfclose-server [options] [FILE [PORT]]"},
        {"client", {"-w", "soon"}, "--write-timeout must be 0..24h, not \"soon\""},
        {"client", {"-b", "0"}, "--buf-size must be 1..1g, not \"0\""},
        {"client", {"--end", "nicely"}, "--end must be half-close, close, shut-rd or none, not \"nicely\""},
        {"client", {"--expect-size", "all"}, "--expect-size must be 0..1000000g, not \"all\""},
    }));
    auto result = run("halfclose-" + line.program, line.args);
    CHECK(result.status == 2);
    CHECK(result.err == "halfclose-" + line.program + ": " + line.says + "\n");
    CHECK(result.out == "");
}

TEST_CASE("halfclose: data flows on after the client's FIN, CLOSE_WAIT here and FIN_WAIT2 there", "[halfclose]") {
    File file(bytes(20000000));  // more than buffers hold: until all is read, the server is in the midst of it
    Server server(file, {"-c", "1000"});
    Client client(server.port(), 4096);
    int here = client.local_port();
    CHECK((client.receive(1000) == file.content.substr(0, 1000)));
    client.shutdown_write();
    CHECK(server.wait_for_stderr("fin peer=127.0.0.1:" + std::to_string(here) + " total=0\n"));
    CHECK((client.receive(5000000) == file.content.substr(1000, 5000000)));
    CHECK(sockets("CLOSE_WAIT", server.port(), here) == 1);
    CHECK(sockets("FIN_WAIT2", here, server.port()) == 1);
    CHECK((client.receive_all() == file.content.substr(5001000)));
    CHECK(client.end() == Client::Fin);
    CHECK(sockets("TIME_WAIT", here, server.port()) == 1);  // who closes first
    CHECK(server.wait_for_stderr("closed peer=127.0.0.1:" + std::to_string(here)));
    std::string log = timeless(server.err());
    CHECK(log.find("wrote peer=127.0.0.1:" + std::to_string(here) + " bytes=20000000\n") != log.npos);
    CHECK(log.find("half-closed") == log.npos);
}

TEST_CASE("halfclose: the server closes its half first", "[halfclose]") {
    File file("all of it\n");
    Server server(file, {"--half-close", "--log-level", "debug"});
    Client client(server.port());
    int here = client.local_port();
    CHECK(client.receive_all() == file.content);
    CHECK(client.end() == Client::Fin);
    CHECK(server.wait_for_stderr("half-closed peer="));
    CHECK(eventually([&] { return sockets("FIN_WAIT2", server.port(), here) == 1; }));
    CHECK(sockets("CLOSE_WAIT", here, server.port()) == 1);
    CHECK(client.send("after your FIN"));
    CHECK(server.wait_for_stderr("read peer=127.0.0.1:" + std::to_string(here) + " bytes=14 total=14"));
    client.close();
    CHECK(server.wait_for_stderr("fin peer=127.0.0.1:" + std::to_string(here) + " total=14"));
    CHECK(eventually([&] { return sockets("TIME_WAIT", server.port(), here) == 1; }));
}

TEST_CASE("halfclose: the records are the seed's", "[halfclose]") {
    File file(bytes(10500), "a \"file\"");
    auto [chunk, start, finish] = GENERATE(table<std::string, std::string, std::string>(
        {{"1000", "start to stream with chunk", "finish streaming with chunk"},
         {"0", "start to stream", "finish streaming"}}));
    Json_server server(file, {"-c", chunk});
    std::string address = "127.0.0.1:" + std::to_string(server.port());
    auto client = run("halfclose-client", {"-s", address, "-w", "0", "-r", "90s", "--json"});
    CHECK(client.status == 0);
    CHECK(client.err == "");
    auto record = [](const std::string& msg, const std::string& fields) {
        return R"({"level":"INFO","msg":")" + msg + "\"" + fields + "}\n";
    };
    auto in_client = [&](const std::string& fields) {
        return R"(,"client":{"server":")" + address + "\"" + fields + "}";
    };
    std::string expired = record("write timeout is expired", in_client(",\"timeout\":0"));
    CHECK(timeless(client.out) == record("new client", in_client(",\"read-timeout\":90000000000,\"write-timeout\":0")) +
                                      record("start to read", in_client("")) + expired +
                                      record("got EOF in reader", in_client(",\"total\":10500")) +
                                      record("finish handling", in_client("")));
    CHECK(server.wait_for_stdout("close server side connection"));
    server.signal(SIGTERM);
    CHECK(server.wait_exit() == 0);
    CHECK(server.err() == "");
    auto in_server = [&](const std::string& fields) {
        return R"(,"server":{"listen":")" + address + "\"" + fields + "}";
    };
    auto before = [](const std::string& fields) { return R"(,"server":{"listen":"127.0.0.1:0")" + fields + "}"; };
    std::string eof = record("got EOF in reader", in_server(",\"total\":0")), out = timeless(server.out());
    REQUIRE(out.find(eof) != out.npos);
    out.erase(out.find(eof), eof.size());  // it may come before or after the end of so short a file
    std::string quoted = "\"" + file.directory + "/a \\\"file\\\"\"";
    CHECK(out ==
          record("new server", before(",\"file\":" + quoted + ",\"chunk\":" + chunk)) +
              record("ready to send data", before(",\"size\":10500")) + record("start the server", in_server("")) +
              record(start, in_server(chunk == "0" ? "" : ",\"chunk\":" + chunk)) +
              record(finish, in_server(",\"size\":10500")) + record("close server side connection", in_server("")) +
              record("Signal received. The server is stopped.", ""));
}

TEST_CASE("halfclose: the records of level debug", "[halfclose]") {
    File file("0123456789abcde");
    Json_server server(file, {"-c", "10", "--log-level", "debug"});
    std::string address = "127.0.0.1:" + std::to_string(server.port());
    auto client = run("halfclose-client", to(server.port(), {"--json", "--log-level", "debug", "-b", "100"}));
    CHECK(client.status == 0);
    CHECK(client.out.find("\"level\":\"DEBUG\",\"msg\":\"read data\",\"client\":{\"server\":\"127.0.0.1:" +
                          std::to_string(server.port()) + "\",\"size\":1") != std::string::npos);
    CHECK(server.wait_for_stdout("\"msg\":\"streaming data\",\"server\":{\"listen\":\"" + address +
                                 "\",\"size\":10,\"total\":10}}\n"));
    CHECK(server.wait_for_stdout("\"msg\":\"streaming data\",\"server\":{\"listen\":\"" + address +
                                 "\",\"size\":5,\"total\":15}}\n"));
    auto quiet = run("halfclose-client", to(server.port(), {"--json", "--log-level", "ERROR"}));
    CHECK(quiet.status == 0);
    CHECK(quiet.out == "");
    Process echo("halfclose-client", to(server.port(), {"--json", "--log-level", "debug", "-b", "100", "--echo"}));
    CHECK(echo.wait_exit() == 0);
    CHECK(std::regex_search(
        echo.out(), std::regex(R"("msg":"write back data","client":\{"server":"[^"]*","size":\d+,"total":15\}\}\n)")));
    CHECK(server.wait_for_stdout("\"msg\":\"read data\",\"server\":{\"listen\":\"" + address + "\",\"size\":"));
}

TEST_CASE("halfclose: a stream that fails has an end in the records, too", "[halfclose]") {
    File file(bytes(20000000));
    Json_server server(file, {});
    Client client(server.port(), 4096);
    CHECK((client.receive(1000) == file.content.substr(0, 1000)));
    std::string failed = "failed to stream data";
    SECTION("the client has reset it") { client.reset(); }
    SECTION("the file has shrunk") {
        REQUIRE(truncate(file.path.c_str(), 10) == 0);
        client.receive_all();
    }
    SECTION("the file is gone") {
        unlink(file.path.c_str());
        Client late(server.port());
        late.receive_all();
        failed = "failed to open file";
    }
    CHECK(server.wait_for_stdout("\"level\":\"ERROR\",\"msg\":\"" + failed + "\""));
    CHECK(server.wait_for_stdout("\"msg\":\"close server side connection\""));
    std::string out = server.out();
    CHECK(out.find(failed) < out.find("close server side connection"));
    CHECK(server.err() == "");
}

TEST_CASE("halfclose: a file that shrinks is a reset, never a FIN, and never the end of the server", "[halfclose]") {
    auto rest =
        GENERATE(30000, 5000, 99990, 0);  // the last but one: the mapping's last page is still there, with zeros
    CAPTURE(rest);
    File file(bytes(100000));
    Server server(file, {"-c", "1000", "--option", "sndbuf=4096"});
    Client client(server.port(), 4096);
    CHECK((client.receive(20000) == file.content.substr(0, 20000)));
    REQUIRE(truncate(file.path.c_str(), rest) == 0);
    std::string got = client.receive_all();
    CHECK((got.size() <= 80000 && got == file.content.substr(20000, got.size())));  // and no zero of the kernel's
    CHECK(client.end() == Client::Reset);
    CHECK(server.wait_for_stderr("it has shrunk"));
    Client next(server.port());
    next.shutdown_write();
    CHECK((next.receive_all() == file.content.substr(0, rest)));
    CHECK(next.end() == Client::Fin);
}

TEST_CASE("halfclose: no byte goes out that is cut off by then", "[halfclose]") {
    File file(bytes(10000));
    Server server(file, {"-c", "1000", "-i", "20ms"});
    Client client(server.port());
    CHECK((client.receive(1000) == file.content.substr(0, 1000)));
    REQUIRE(truncate(file.path.c_str(), 9000) == 0);
    std::string got = client.receive_all();
    CHECK((got.size() <= 8000 && got == file.content.substr(1000, got.size())));
    CHECK(client.end() == Client::Reset);
}

TEST_CASE("halfclose: a file that grows or is replaced is what it was for those who have it", "[halfclose]") {
    File file(bytes(50000));
    Server server(file, {"-c", "1000", "-i", "1ms"});
    Client client(server.port());
    CHECK((client.receive(1000) == file.content.substr(0, 1000)));
    std::ofstream(file.path, std::ios::app) << "more";
    CHECK((client.receive_all() == file.content.substr(1000)));
    Client second(server.port());
    CHECK((second.receive(50000) == file.content));
    unlink(file.path.c_str());
    CHECK(second.receive_all() == "more");
    CHECK(second.end() == Client::Fin);
    Client third(server.port());  // nothing to send is not a file of no bytes
    CHECK(third.receive_all() == "");
    CHECK(third.end() == Client::Reset);
    CHECK(server.wait_for_stderr("failed peer=127.0.0.1:" + std::to_string(third.local_port()) + " error=\"open " +
                                 file.path));
    std::ofstream(file.path) << "another";
    CHECK(Client(server.port()).receive_all() == "another");
}

TEST_CASE("halfclose: a client's reset is that client's trouble", "[halfclose]") {
    File file(bytes(20000000));
    Server server(file, {"-c", GENERATE(as<std::string>{}, "0", "1024")});
    Client good(server.port()), bad(server.port(), 4096), half(server.port(), 4096);
    int bad_port = bad.local_port(), half_port = half.local_port();
    CHECK((bad.receive(1000) == file.content.substr(0, 1000)));
    bad.reset();
    half.shutdown_write();
    CHECK((half.receive(1000) == file.content.substr(0, 1000)));
    half.close();  // with bytes unread: RST after FIN
    CHECK((good.receive_all() == file.content));
    CHECK(good.end() == Client::Fin);
    CHECK(server.wait_for_stderr("reset peer=127.0.0.1:" + std::to_string(bad_port)));
    CHECK(server.wait_for_stderr("reset peer=127.0.0.1:" + std::to_string(half_port)));
}

TEST_CASE("halfclose: a client that does not read costs nothing and disturbs nobody", "[halfclose]") {
    File file(bytes(20000000));
    Server server(file);
    Client lazy(server.port(), 4096), patient(server.port(), 4096);
    patient.shutdown_write();
    CHECK(eventually([&] { return children_of(server.pid()).size() == 2; }));
    auto children = children_of(server.pid());
    CHECK(server.wait_for_stderr("fin peer=127.0.0.1:" + std::to_string(patient.local_port())));
    std::map<pid_t, long> before;
    CHECK(eventually([&] {  // both are blocked when they have not moved between two looks
        bool still = true;
        for (pid_t pid : children)
            still = asleep(pid) && std::exchange(before[pid], switches(pid)) == switches(pid) && still;
        return still && poll(nullptr, 0, 20) == 0;
    }));
    Client quick(server.port());
    CHECK((quick.receive_all() == file.content));
    for (pid_t pid : children) CHECK(switches(pid) == before[pid]);
    CHECK((lazy.receive_all() == file.content));
    CHECK((patient.receive_all() == file.content));
}

TEST_CASE("halfclose: a client that takes nothing for the idle timeout is given up", "[halfclose]") {
    File file(bytes(20000000));
    Server server(file, {"--idle-timeout", "700ms", "-c", "0"});
    Client lazy(server.port(), 4096), good(server.port());
    CHECK((good.receive_all() == file.content));
    CHECK(server.wait_for_stderr("failed peer=127.0.0.1:" + std::to_string(lazy.local_port())));
    CHECK(lazy.receive_all().size() < file.content.size());
    CHECK(lazy.end() == Client::Reset);
}

TEST_CASE("halfclose: 200 clients, each at its own pace", "[halfclose]") {
    File file(bytes(300000));
    Server server(file, {"-c", "1000"});
    struct Reader {
        Client client;
        std::string got;
        bool fin = false;
    };
    std::vector<Reader> readers;
    for (int i = 0; i < 200; ++i) readers.push_back({Client(server.port(), i % 3 ? 0 : 4096), ""});
    std::vector<char> buffer(100000);
    size_t open = readers.size();
    auto deadline = Clock::now() + 3 * patience;
    for (int round = 0; open && Clock::now() < deadline; ++round)
        for (int i = 0; i < 200; ++i) {
            Reader& reader = readers[i];
            if (reader.fin || round % (i % 7 + 1)) continue;
            if (round == i) reader.client.shutdown_write();
            ssize_t n = recv(reader.client.fd(), buffer.data(), i % 2 ? 100 + i * 50 : buffer.size(), MSG_DONTWAIT);
            if (n > 0) reader.got.append(buffer.data(), n);
            if (n == 0) reader.fin = true, --open;
        }
    CHECK(open == 0);
    CHECK(std::all_of(readers.begin(), readers.end(), [&](auto& r) { return r.got == file.content; }));
    readers.clear();
    CHECK(eventually([&] { return children_of(server.pid()).empty(); }));
}

TEST_CASE("halfclose: the bound on children, and the signals that end the server", "[halfclose]") {
    File file(bytes(20000000));
    int number = GENERATE(SIGTERM, SIGINT);
    Server server(file, {"-m", "1"});
    Client first(server.port(), 4096);
    CHECK(server.wait_for_stderr("accepted peer="));
    Client second(server.port());
    second.shutdown_write();
    CHECK(eventually([&] { return sockets("CLOSE_WAIT", server.port(), second.local_port()) == 1; }));
    CHECK(children_of(server.pid()).size() == 1);
    first.close();
    CHECK((second.receive(1000) == file.content.substr(0, 1000)));
    server.signal(number);
    CHECK(server.wait_exit() == 0);
    CHECK(second.receive_all().size() <
          20000000 - 1000);  // the server ends in the midst of a file: that must not look like its end
    CHECK(second.end() == Client::Reset);
    CHECK(timeless(server.err()).find("stopped listen=127.0.0.1:" + std::to_string(server.port()) + "\n") !=
          std::string::npos);
}

TEST_CASE("halfclose: nobody reads the records, and the server serves on", "[halfclose]") {
    File file("still here");
    int port = Listener().port();
    Process server("halfclose-server", {"--json", "-l", "127.0.0.1:" + std::to_string(port), file.path}, [] {
        int ends[2];
        if (pipe(ends) || dup2(ends[1], 1) < 0) _exit(126);
        close(ends[0]);
    });
    REQUIRE(eventually([&] { return sockets("LISTEN", port) == 1; }));
    for (int i = 0; i < 3; ++i) CHECK(Client(port).receive_all() == "still here");
}

TEST_CASE("halfclose: progress for a terminal, and only there", "[halfclose]") {
    File file(bytes(20000000));
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), port = Listener().port();
    REQUIRE((master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0));
    std::string terminal = ptsname(master), shown;
    Process server("halfclose-server", {"-f", file.path, "-l", "127.0.0.1:" + std::to_string(port)}, [&] {
        int fd = open(terminal.c_str(), O_RDWR | O_NOCTTY);
        if (fd < 0 || dup2(fd, 2) < 0) _exit(126);
    });
    auto shows = [&](const std::string& text) {
        return eventually([&] {
            char part[4096];
            pollfd readable{master, POLLIN, 0};
            if (poll(&readable, 1, 0) > 0)
                if (ssize_t n = read(master, part, sizeof part); n > 0) shown.append(part, n);
            return shown.find(text) != shown.npos;
        });
    };
    REQUIRE(shows("listening on"));
    Client client(port, 4096);
    client.shutdown_write();
    CHECK(shows("\x1b[Kclients 1, half-closed 1: "));
    CHECK((client.receive_all() == file.content));
    close(master);
    Server quiet(file);
    CHECK((Client(quiet.port()).receive_all() == file.content));
    CHECK(quiet.err().find('\x1b') == std::string::npos);
}

TEST_CASE("halfclose-client: reads on after its FIN and tells what came when", "[halfclose]") {
    Listener listener;
    File copy("");
    Process client("halfclose-client",
                   to(listener.port(), {"-w", "50ms", "--expect-size", "11", "--output", copy.path}));
    Client server = listener.accept();
    CHECK(server.send("hello "));
    CHECK(server.receive_all() == "");
    CHECK(server.end() == Client::Fin);
    CHECK(client.wait_for_stderr("half-closed direction=write total="));
    CHECK(server.send("world"));
    CHECK(client.running());
    server.close();
    CHECK(client.wait_exit() == 0);
    std::string log = timeless(client.err());  // "hello " may be late: the client's clock runs from its start
    CHECK((log.find("fin total=11\nclosed total=11 before-fin=6 after-fin=5 first=client\n") != log.npos ||
           log.find("fin total=11\nclosed total=11 before-fin=0 after-fin=11 first=client\n") != log.npos));
    std::stringstream got;
    got << std::ifstream(copy.path).rdbuf();
    CHECK(got.str() == "hello world");
}

TEST_CASE("halfclose-client: the server closes first", "[halfclose]") {
    File file(bytes(10500));
    Server server(file);
    auto result =
        run("halfclose-client",
            to(server.port(), {"--end", GENERATE(as<std::string>{}, "none", "half-close"), "--expect-size", "10500"}));
    CHECK(result.status == 0);
    CHECK(result.err.find("closed total=10500 before-fin=10500 after-fin=0 first=server\n") != std::string::npos);
}

TEST_CASE("halfclose-client: close instead of shutdown loses the reply", "[halfclose]") {
    Listener listener;
    Process client("halfclose-client", to(listener.port(), {"-w", "10ms", "--end", "close", "--expect-size", "5"}));
    Client server = listener.accept();
    CHECK(server.receive_all() == "");
    CHECK(server.end() == Client::Fin);
    CHECK(client.wait_exit() == 1);
    CHECK(client.err().find("halfclose-client: expected 5 bytes, got 0\n") != std::string::npos);
    CHECK(server.send("reply"));                               // nobody is there any more:
    CHECK(eventually([&] { return !server.send("reply"); }));  // the answer is a RST
}

TEST_CASE("halfclose-client: shutdown(SHUT_RD) alone sends nothing, and the kernel goes on receiving", "[halfclose]") {
    Listener listener;
    Process client("halfclose-client", to(listener.port(), {"-w", "10ms", "--end", "shut-rd"}));
    Client server = listener.accept();
    CHECK(client.wait_for_stderr("half-closed direction=read total=0\n"));
    CHECK(server.send(bytes(20000)));
    int unacknowledged = 1;
    CHECK(eventually([&] { return ioctl(server.fd(), TIOCOUTQ, &unacknowledged) == 0 && unacknowledged == 0; }));
    CHECK(sockets("ESTABLISHED", listener.port()) == 1);
    CHECK(client.running());
    CHECK(server.receive(1, 50ms) == "");
    CHECK(server.end() == Client::Timeout);
    server.reset();
    CHECK(client.wait_exit() == 1);
}

TEST_CASE("halfclose-client: stays in CLOSE_WAIT when told to", "[halfclose]") {
    File file("short");
    Server server(file, {"--half-close"});
    Process client("halfclose-client", to(server.port(), {"--stay", "-w", "1s"}));
    CHECK(client.wait_for_stderr("fin total=5\n"));
    CHECK(eventually([&] { return sockets("FIN_WAIT2", server.port()) == 1; }));
    CHECK(client.wait_exit() == 0);
    CHECK(client.err().find("first=server") != std::string::npos);
    CHECK(eventually([&] { return sockets("TIME_WAIT", server.port()) == 1; }));
}

TEST_CASE("halfclose-client: leaves at the read timeout", "[halfclose]") {
    Listener listener;
    Process client("halfclose-client", to(listener.port(), {"-r", "500ms", "--json"}));
    Client server = listener.accept();
    CHECK(server.send("some"));
    CHECK(client.wait_exit() == 0);
    std::string address = "127.0.0.1:" + std::to_string(listener.port()),
                group = R"("client":{"server":")" + address + "\"";
    CHECK(timeless(client.out())
              .find("{\"level\":\"INFO\",\"msg\":\"read timeout is expired\"," + group +
                    ",\"timeout\":500000000}}\n"
                    "{\"level\":\"INFO\",\"msg\":\"got EOF in reader\"," +
                    group +
                    ",\"total\":4}}\n"
                    "{\"level\":\"INFO\",\"msg\":\"finish handling\"," +
                    group + "}}\n") != std::string::npos);
}

TEST_CASE("halfclose-client: echoes until its FIN", "[halfclose]") {
    Listener listener;
    Process client("halfclose-client", to(listener.port(), {"--echo", "-w", "1s"}));
    Client server = listener.accept();
    CHECK(server.send("abc"));
    CHECK(server.receive(3) == "abc");
    CHECK(server.receive_all() == "");
    CHECK(server.end() == Client::Fin);
    CHECK(server.send("def"));
    server.close();
    CHECK(client.wait_exit() == 0);
    CHECK(client.err().find("total=6 before-fin=3 after-fin=3") != std::string::npos);

    File file(bytes(3000000)), copy("");  // a file goes there and back, at full speed, and arrives
    Server streamer(file);
    auto result = run("halfclose-client", to(streamer.port(), {"--echo", "-b", "10000", "--output", copy.path}));
    CHECK(result.status == 0);
    std::stringstream got;
    got << std::ifstream(copy.path).rdbuf();
    CHECK((got.str() == file.content));
    CHECK(streamer.wait_for_stderr("total=3000000"));
}

TEST_CASE("halfclose-client: exit status 1 when it fails", "[halfclose]") {
    Listener listener;
    int port = listener.port();
    {
        Process client("halfclose-client", to(port, {"--json"}));
        Client server = listener.accept();
        CHECK(client.wait_for_stdout("start to read"));
        server.reset();
        CHECK(client.wait_exit() == 1);
        CHECK(client.out().find("\"level\":\"ERROR\",\"msg\":\"failed to read data\"") != std::string::npos);
        CHECK(timeless(client.out())
                  .find("\"msg\":\"client run failed\",\"error\":\"read 127.0.0.1:" + std::to_string(port) +
                        ": Connection reset by peer\"}\n") != std::string::npos);
    }
    listener.close();
    auto refused = run("halfclose-client", {"127.0.0.1", std::to_string(port)});
    CHECK(refused.status == 1);
    CHECK(refused.err == "halfclose-client: connect 127.0.0.1:" + std::to_string(port) + ": Connection refused\n");
}
