/// What a person pressed, or pasted.
package enum Key: Hashable, Sendable {
    /// Text as typed; one character, or a part of one.
    case text(String)
    /// Text that was pasted; never a command.
    case paste(String)
    /// A paste that is longer than ``KeyDecoder/pasteLimit`` and was dropped.
    case pasteTooLong
    /// A letter or one of `@ [ \ ] ^ _ ?` with Control.
    case control(Character)
    /// A character with Alt, or after Escape.
    case alt(Character)
    /// Return.
    case enter
    /// Return with Alt.
    case altEnter
    /// Tab.
    case tab
    /// Tab with Shift.
    case backTab
    /// Removes what stands before the cursor.
    case backspace
    /// Removes the word before the cursor.
    case altBackspace
    /// Removes what stands at the cursor.
    case delete
    /// Escape alone.
    case escape
    /// The arrows.
    case up, down, left, right
    /// To the edges of a line.
    case home, end
    /// A page at a time.
    case pageUp, pageDown
    /// A word at a time.
    case wordLeft, wordRight
    /// A key that means nothing here.
    case unknown
}
