#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# A pipelining client of redis: INCRs on one connection, in batches, until stdin ends. Each reply must be one more than
# the one before. The other keys' digest must be what it was.
use strict;
use warnings;
use IO::Socket::INET;
use IO::Select;
use Time::HiRes qw(sleep time);
$| = 1;

my ($host, $port, $megabytes) = @ARGV;
my $s = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port) or die "cannot connect: $!\n";
$s->setsockopt(6, 1, 1);
my $end = IO::Select->new(\*STDIN);

sub send_all {
	my $text = shift;
	while (length $text) {
		my $n = syswrite($s, $text) // die "lost connection: $!\n";
		substr($text, 0, $n, '');
	}
}
my $buf = '';
sub line {
	my $at;
	while (($at = index $buf, "\r\n") < 0) {
		my $n = sysread($s, $buf, 65536, length $buf) // die "lost connection: $!\n";
		die "connection closed\n" if !$n;
	}
	my $text = substr $buf, 0, $at, '';
	substr $buf, 0, 2, '';
	return $text;
}
sub command { my @a = @_; send_all(join '', '*' . @a . "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @a); }
sub digest { command('SET', 'n', 0); line(); command('DEBUG', 'DIGEST'); return line(); }

srand(7);
for my $i (1 .. $megabytes * 64) {
	command('SET', "key$i", pack('L*', map { int rand 2**32 } 1 .. 4096));
	line() eq '+OK' or die "SET failed\n";
}
my $before = digest();
my ($n, $gap) = (0, 0);
print "ready\n";
until ($end->can_read(0)) {
	my $t = time;
	send_all("INCR n\r\n" x 50);
	for (1 .. 50) {
		my $got = line();
		$got eq ':' . ++$n or die "wanted :$n, got $got\n";
	}
	$gap = time - $t if time - $t > $gap;
	sleep 0.005;
}
command('GET', 'n');
line();
line() == $n or die "the counter is not what was counted\n";
my $after = digest();
print $after eq $before ? "data equal\n" : "data differ: $before $after\n";
printf "%s\n", $n > 500 ? 'no reply lost or doubled' : "only $n replies";
printf "# longest gap %.0f ms, %d replies\n", $gap * 1000, $n;
