#!/usr/bin/perl
# Counts the words of all Python sources under some folders: hashes of arrays of strings, sorted and joined.
use strict;
use warnings;

my (%by_letter, %count);
my @folders = @ARGV;
my $files = 0;
while (defined(my $folder = shift @folders)) {
    opendir(my $dir, $folder) or next;
    for my $entry (sort grep { !/^\./ } readdir $dir) {
        my $path = "$folder/$entry";
        if (-d $path && !-l $path) { push @folders, $path; next }
        next unless $entry =~ /\.py$/ && $files < 60;
        $files++;
        open(my $in, '<', $path) or next;
        while (my $line = <$in>) {
            for my $word ($line =~ /\w+/g) {
                push @{ $by_letter{substr($word, 0, 1)}{length $word} }, $word unless $count{$word}++;
            }
        }
    }
}
my $text = join ' ', map { my $l = $_; map { sort @{ $by_letter{$l}{$_} } } sort { $a <=> $b } keys %{ $by_letter{$l} } } sort keys %by_letter;
printf "%d files, %d words, %d characters\n", $files, scalar keys %count, length $text;
