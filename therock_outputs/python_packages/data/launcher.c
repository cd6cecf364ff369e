/* Runs the program that stands where TARGET says, seen from this file's own directory, with the
 * arguments as they came: argv[0] too, because clang++ chooses its language by it.
 *
 * It stands for a symbolic link, which a wheel cannot hold. TARGET is a placeholder of fixed size
 * that whoever writes the wheel fills in, so nobody needs a compiler. No C library: system calls
 * alone, so that one file of a kilobyte or two serves every distribution.
 *
 * Rebuilt by: python -m therock_outputs.python_packages.launcher gcc
 */

#define ROOM 4096

/* Must not be read at compile time, therefore volatile. */
__attribute__((section(".target"), used)) static const volatile char target[1024] =
    "@therock-launcher-target@";

#if defined(__x86_64__)
static long call(long number, long one, long two, long three) {
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(one), "S"(two), "d"(three)
                     : "rcx", "r11", "memory");
    return result;
}
enum { WRITE = 1, EXECVE = 59, EXIT = 60, READLINK = 89 };
static long read_link(const char *path, char *buffer, long size) {
    return call(READLINK, (long)path, (long)buffer, size);
}
__asm__(".globl _start\n_start:\n mov %rsp, %rdi\n and $-16, %rsp\n call start\n");
#elif defined(__aarch64__)
static long call4(long number, long one, long two, long three, long four) {
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = one;
    register long x1 __asm__("x1") = two;
    register long x2 __asm__("x2") = three;
    register long x3 __asm__("x3") = four;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}
static long call(long number, long one, long two, long three) {
    return call4(number, one, two, three, 0);
}
enum { WRITE = 64, EXECVE = 221, EXIT = 93, READLINKAT = 78 };
static long read_link(const char *path, char *buffer, long size) {
    return call4(READLINKAT, -100, (long)path, (long)buffer, size);
}
__asm__(".globl _start\n_start:\n mov x0, sp\n bl start\n");
#else
#error "no system calls are known for this machine"
#endif

static void say(const char *text) {
    long size = 0;
    while (text[size])
        size++;
    call(WRITE, 2, (long)text, size);
}

__attribute__((used, noreturn)) void start(long *stack) {
    char **argv = (char **)(stack + 1);
    char **envp = argv + stack[0] + 1;
    char path[ROOM + sizeof target];
    long size = read_link("/proc/self/exe", path, ROOM);
    while (size > 0 && path[size - 1] != '/')
        size--;
    if (size > 0) {
        for (unsigned long at = 0; at < sizeof target; at++)
            path[size + at] = target[at];
        call(EXECVE, (long)path, (long)argv, (long)envp);
        say(path);
        say(": cannot be run; is the package whole?\n");
    } else {
        say("the launcher cannot read /proc/self/exe\n");
    }
    call(EXIT, 127, 0, 0);
    __builtin_unreachable();
}
