#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# strike.pl SERVICE SIGNAL PROGRAM MS: sends the signal to all of that program's processes, or only to the oldest of them
# ("first-PROGRAM"), so many milliseconds after criu has come to the service's own processes: has seized one of them, or made
# one. Tells when that was.
use strict;
use warnings;
use Time::HiRes qw(sleep time);

my ($service, $signal, $program, $ms) = @ARGV;
my $dir = "/sys/fs/cgroup";
$| = 1;

sub slurp { open my $f, '<', shift or return ''; local $/; return <$f> // '' }
sub groups { return grep { -e "$_/cgroup.freeze" } glob("$dir/edge/$service $dir/*/edge/$service") }
sub members { return map { split /\n/, slurp("$_/cgroup.procs") } groups() }
my $first = $program =~ s/^first-//;
sub programs {
	my @all = grep { slurp("/proc/$_/comm") eq "$program\n" } sort { $a <=> $b } map { m{(\d+)} ? $1 : () } glob '/proc/[0-9]*';
	return $first ? @all[0 .. !!@all - 1] : @all;
}

my %before = map { $_ => 1 } members();
my $end = time + 10;
print "ready\n";
until (time > $end) {
	my @now = members();
	if (grep { !$before{$_} || slurp("/proc/$_/status") =~ /^TracerPid:\t[1-9]/m } @now) {
		sleep $ms / 1000;
		my $n = kill $signal, programs();
		printf "%.6f %d\n", time, $n;
		exit($n == 0);
	}
	sleep 0.0003;
}
die "criu never came\n";
